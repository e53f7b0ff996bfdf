//! How much may a supplier repeat, and when may it again?

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_types::Timestamp;
use proptest::prelude::*;

use crate::quota::{Effect, Quota, Quotas, Spent, Used, UsedUp, judge};

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// In the middle of an hour.
const NOW: i64 = 490_000 * HOUR + 30 * MINUTE;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn quotas(device: u32, supplier: u32) -> Quotas {
    Quotas {
        device_lifts: number(device),
        device_repeats: number(device),
        supplier_lifts: number(supplier),
        supplier_repeats: number(supplier),
    }
}

#[test]
fn what_a_consumer_needs_is_never_counted() {
    assert_eq!(Effect::of(false, true, false), Effect::Needed);
    assert_eq!(Effect::of(true, true, true), Effect::Needed);
    assert_eq!(Effect::of(false, false, true), Effect::Needed);
    assert_eq!(Effect::of(true, false, true), Effect::Lifts);
    assert_eq!(Effect::of(true, true, false), Effect::Repeats);
    assert_eq!(Effect::of(false, false, false), Effect::Repeats);
    let mut spent = Spent::default();
    for _ in 0..100 {
        for effect in [Effect::Lifts, Effect::Repeats, Effect::Needed] {
            spent.note(effect, at(NOW));
        }
    }
    let quotas = quotas(1, 1);
    assert_eq!(
        judge(Effect::Needed, &spent, &spent, &quotas, at(NOW)),
        Ok(())
    );
    assert!(judge(Effect::Lifts, &spent, &spent, &quotas, at(NOW)).is_err());
}

#[test]
fn what_is_spent_comes_back_a_day_after_its_hour() {
    let mut used = Used::default();
    for _ in 0..3 {
        used.note(at(NOW));
    }
    assert_eq!(used.full_until(number(4), at(NOW)), None);
    let free = NOW + DAY + 30 * MINUTE;
    assert_eq!(used.full_until(number(3), at(NOW)), Some(at(free)));
    assert_eq!(used.full_until(number(3), at(free - 1)), Some(at(free)));
    assert_eq!(used.full_until(number(3), at(free)), None);
    // As much as has to come back, and no more.
    used.note(at(NOW + 2 * HOUR));
    let now = at(NOW + 3 * HOUR);
    assert_eq!(used.full_until(number(4), now), Some(at(free)));
    assert_eq!(used.full_until(number(1), now), Some(at(free + 2 * HOUR)));
}

#[test]
fn the_quota_is_told_that_is_used_up_for_longest() {
    let (mut device, mut supplier) = (Spent::default(), Spent::default());
    device.note(Effect::Lifts, at(NOW));
    supplier.note(Effect::Lifts, at(NOW + 3 * HOUR));
    let now = at(NOW + 4 * HOUR);
    let told = judge(Effect::Lifts, &device, &supplier, &quotas(1, 1), now).unwrap_err();
    assert_eq!((told.quota, told.size.get()), (Quota::SupplierLifts, 1));
    assert_eq!(told.wait.as_secs(), 23 * 3_600 + 1_800);
    let told = judge(Effect::Lifts, &device, &supplier, &quotas(1, 2), now).unwrap_err();
    assert_eq!(told.quota, Quota::DeviceLifts);
    // Neither uses up the other.
    let repeats = judge(Effect::Repeats, &device, &supplier, &quotas(1, 1), now);
    assert_eq!(repeats, Ok(()));
}

/// Clerks read it.
#[test]
fn what_is_used_up_is_said_in_words() {
    let said = |quota, size| {
        let wait = Duration::from_mins(20 * 60 + 30);
        UsedUp {
            quota,
            size: number(size),
            wait,
        }
        .to_string()
    };
    for (quota, size, words) in [
        (Quota::DeviceLifts, 10, "lift the flag of a Device 10 times"),
        (
            Quota::DeviceRepeats,
            20,
            "record 20 preferences of one Device that change nothing",
        ),
        (Quota::SupplierLifts, 200, "lift 200 flags"),
        (
            Quota::SupplierRepeats,
            50,
            "record 50 preferences that change nothing",
        ),
    ] {
        let expected = format!(
            "the quota is used up: one supplier may {words} in 24 hours; there is room again in 20 h \
             30 min"
        );
        assert_eq!(said(quota, size), expected);
    }
}

/// A clock that is set right takes what was noted under the wrong one with it, but for an hour of
/// skew: nobody waits for a year that has not come.
#[test]
fn what_lies_in_the_future_says_nothing() {
    let mut used = Used::default();
    used.note(at(NOW + 365 * DAY));
    assert_eq!(used.full_until(number(1), at(NOW)), None);
    used.note(at(NOW));
    let free = Some(at(NOW + DAY + 30 * MINUTE));
    assert_eq!(used.full_until(number(1), at(NOW - HOUR)), free);
    assert_eq!(used.to_string(), "490000:1");
}

#[test]
fn only_counts_by_hours_are_read() {
    for text in ["x", "1", "1:", ":1", "1:-1", "1:4294967296"] {
        assert!(text.parse::<Used>().is_err(), "{text}");
    }
    assert_eq!("".parse::<Used>(), Ok(Used::default()));
}

proptest! {
    /// Whoever does it whenever there is room: no 24 hours hold more than the quota, what is refused
    /// is possible at the instant that was told and not before, and that is within 25 hours. What is
    /// kept is bounded and survives being written down.
    #[test]
    fn no_day_holds_more_than_the_quota(
        size in 1_u32..6,
        pauses in prop::collection::vec(0_i64..5 * HOUR, 1..200),
    ) {
        let size = number(size);
        let mut used = Used::default();
        let mut done: VecDeque<i64> = VecDeque::new();
        let mut now = NOW;
        for pause in pauses {
            now += pause;
            while done.front().is_some_and(|&first| first <= now - DAY) {
                done.pop_front();
            }
            match used.full_until(size, at(now)) {
                None => {
                    used.note(at(now));
                    done.push_back(now);
                    prop_assert!(done.len() <= usize::try_from(size.get()).unwrap());
                }
                Some(until) => {
                    let until = until.micros();
                    prop_assert!(now < until && until <= now + 25 * HOUR);
                    prop_assert!(used.full_until(size, at(until - 1)).is_some());
                    prop_assert_eq!(used.full_until(size, at(until)), None);
                }
            }
            let written = used.to_string();
            prop_assert!(written.split(' ').count() <= 25);
            prop_assert_eq!(written.parse::<Used>(), Ok(used.clone()));
        }
    }
}
