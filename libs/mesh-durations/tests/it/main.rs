//! What holds of durations that were recorded, whatever they are?

use std::time::Duration;

use mesh_durations::{Bucket, Durations};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn recorded(durations: &[Duration]) -> Durations {
    let mut all = Durations::new();
    for duration in durations {
        all.record(*duration);
    }
    all
}

fn rows(durations: &Durations) -> Vec<(u64, u64)> {
    let rows = durations.rows();
    rows.map(|(bucket, count)| (bucket.millis(), count))
        .collect()
}

/// As many short ones as long ones, beyond the longest as well.
fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..2_000_000).prop_map(Duration::from_micros),
        (0_u64..10_000_000).prop_map(Duration::from_millis),
        (0_u64..100 * 24 * 3_600).prop_map(Duration::from_secs),
        any::<u64>().prop_map(Duration::from_millis),
    ]
}

fn several() -> impl Strategy<Value = Vec<Duration>> {
    prop::collection::vec(any_duration(), 0..200)
}

/// What `quantile` promises of a duration: no less, and 1 % or 1 ms more at the most.
fn is_told_as(duration: Duration, told: Duration) -> bool {
    let exact = duration.min(Bucket::LONGEST);
    told >= exact && told <= exact + (exact / 100).max(MS)
}

#[test]
fn rows_of_some_durations_are_known() {
    let millis = [0, 0, 1, 255, 256, 257, 1_000, 60_000, 3_600_000];
    let some = recorded(&millis.map(Duration::from_millis));
    // Kept rows would be read wrongly if one of these were ever another.
    let expected = [
        (0, 2),
        (1, 1),
        (255, 1),
        (257, 2),
        (1_003, 1),
        (60_159, 1),
        (3_604_479, 1),
    ];
    assert_eq!(rows(&some), expected);
    assert_eq!(some.count(), 9);
}

#[test]
fn parts_of_a_millisecond_are_rounded_up() {
    let some = recorded(&[Duration::from_nanos(1), Duration::from_micros(1_001)]);
    assert_eq!(rows(&some), [(1, 1), (2, 1)]);
}

#[test]
fn what_takes_more_than_ninety_days_counts_as_ninety_days() {
    let day = Duration::from_secs(24 * 3_600);
    let some = recorded(&[day * 90, day * 91, Duration::MAX]);
    assert_eq!(rows(&some), [(7_776_000_000, 3)]);
    assert_eq!(some.max(), Some(day * 90));
}

#[test]
fn quantiles_are_by_rank() {
    let hundred: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
    let hundred = recorded(&hundred);
    for (per_thousand, millis) in [
        (0, 1),
        (10, 1),
        (11, 2),
        (500, 50),
        (501, 51),
        (950, 95),
        (990, 99),
        (1_000, 100),
        (2_000, 100),
    ] {
        let expected = Duration::from_millis(millis);
        assert_eq!(hundred.quantile(per_thousand), Some(expected));
    }
    assert_eq!(Durations::new().quantile(500), None);
    assert_eq!(Durations::new().max(), None);
}

#[test]
fn counts_end_where_numbers_do() {
    let mut many = recorded(&[MS]);
    many.add(Bucket::of(MS), u64::MAX);
    assert_eq!(rows(&many), [(1, u64::MAX)]);
    assert_eq!(many.quantile(500), Some(MS));
}

proptest! {
    #[test]
    fn two_that_are_merged_are_all_recorded_in_one(one in several(), other in several()) {
        let mut merged = recorded(&one);
        merged.merge(&recorded(&other));
        let all = recorded(&[one, other].concat());
        prop_assert_eq!(rows(&merged), rows(&all));
        prop_assert_eq!(&merged, &all);
        prop_assert_eq!(merged.count(), all.count());
        for per_thousand in [0, 1, 500, 950, 990, 1_000] {
            prop_assert_eq!(merged.quantile(per_thousand), all.quantile(per_thousand));
        }
    }

    #[test]
    fn rows_make_the_same_again(all in several(), split in any::<prop::sample::Index>()) {
        let all = recorded(&all);
        let kept = rows(&all);
        // In any order, and in parts.
        let (first, last) = kept.split_at(split.index(kept.len() + 1));
        let read = last.iter().chain(first).map(|(millis, count)| {
            (Bucket::named(*millis).expect("it is a bucket's name"), *count)
        });
        let again: Durations = read.collect();
        prop_assert_eq!(again, all);
    }

    #[test]
    fn a_quantile_is_no_less_and_hardly_more(mut all in several(), per_thousand in 0_u16..=1_000) {
        let told = recorded(&all).quantile(per_thousand);
        all.sort_unstable();
        let rank = (all.len() * usize::from(per_thousand)).div_ceil(1_000).max(1);
        match all.get(rank - 1) {
            None => prop_assert_eq!(told, None),
            Some(exact) => prop_assert!(is_told_as(*exact, told.unwrap()), "{:?} {:?}", exact, told),
        }
    }

    #[test]
    fn a_bucket_holds_what_falls_into_it(duration in any_duration(), millis in any::<u64>()) {
        let bucket = Bucket::of(duration);
        prop_assert!(is_told_as(duration, bucket.longest()));
        prop_assert_eq!(Bucket::of(bucket.longest()), bucket);
        prop_assert_eq!(Bucket::named(bucket.millis()), Some(bucket));
        // What lies one millisecond further is in the next one, unless none is.
        let next = Bucket::of(bucket.longest() + MS);
        prop_assert!(next > bucket || bucket.longest() == Bucket::LONGEST);
        let named = Bucket::named(millis);
        prop_assert_eq!(named.is_some(), Bucket::of(Duration::from_millis(millis)).millis() == millis);
    }
}
