//! However figures are grouped, filtered and cut into pages, none is lost and none counted twice.

use proptest::prelude::*;

use super::*;
use crate::outcome::{Ending, Origin};

/// Variants of several processes, two of which no table lists.
const VARIANTS: [&str; 8] = [
    "4.8.1", "4.8.2", "4.10", "2.2", "11.3", "6.23", "99.1", "4.99.1",
];

fn finest() -> impl Strategy<Value = FinestFigures> {
    let key = (
        prop::sample::select(vec!["ONE", "TWO", "THREE"]),
        prop::sample::select(VARIANTS.to_vec()),
    );
    let count = (
        prop::sample::select(Origin::ALL),
        prop::sample::select(Ending::ALL),
        1_u64..1_000,
        any::<bool>(),
    );
    let counts = prop::collection::vec(count, 1..6);
    let figures = counts.prop_map(|counts| {
        let mut figures = Figures::default();
        for (origin, ending, requests, excepted) in counts {
            figures.count(origin, ending, requests);
            if excepted {
                figures.except(origin, ending, requests);
            }
        }
        figures
    });
    prop::collection::btree_map(key, figures, 0..24).prop_map(|figures| {
        let figures = figures.into_iter();
        let figures = figures.map(|((party, variant), figures)| {
            ((party.parse().unwrap(), variant.parse().unwrap()), figures)
        });
        figures.collect()
    })
}

fn groupings() -> impl Strategy<Value = Grouping> {
    let some = prop::sample::subsequence(Dimension::ALL.to_vec(), 1..=3).prop_shuffle();
    some.prop_map(|dimensions| Grouping::of(dimensions).unwrap())
}

fn report(grouping: &Grouping, finest: &FinestFigures) -> Report {
    grouping.report(finest, BusinessProcesses::builtin(), None)
}

fn sum<'a>(figures: impl IntoIterator<Item = &'a Figures>) -> Figures {
    let mut sum = Figures::default();
    figures.into_iter().for_each(|figures| sum += *figures);
    sum
}

/// What a key says in each dimension, whatever their order.
fn parts(key: &RowKey, kept: &Grouping, of: &Grouping) -> Vec<Part> {
    let at = |dimension| of.dimensions().iter().position(|one| one == dimension);
    let at = |dimension| at(dimension).expect("a dimension of the finer report");
    let kept = kept.dimensions().iter();
    kept.map(|dimension| key.0[at(dimension)].clone()).collect()
}

#[test]
fn dimensions_are_named_once() {
    use Dimension::{BusinessProcess, Supplier, Variant};
    assert_eq!(Grouping::of(vec![]), Some(Grouping::default()));
    assert_eq!(
        Grouping::of(vec![Supplier, Variant]),
        Some(Grouping::default())
    );
    assert!(Grouping::of(vec![BusinessProcess, Supplier, Variant]).is_some());
    assert_eq!(Grouping::of(vec![Variant, Variant]), None);
    assert_eq!(Grouping::of(vec![Variant, Supplier, Variant]), None);
}

/// By hand: a small month by process, and by supplier within it.
#[test]
fn a_month_by_business_process() {
    let sent = |succeeded| {
        let mut figures = Figures::default();
        figures.count(Origin::OnDemand, Ending::Succeeded, succeeded);
        figures
    };
    let finest: FinestFigures = [
        ("ONE", "4.8.1", 1),
        ("ONE", "4.1.1", 2),
        ("ONE", "99.1", 4),
        ("TWO", "4.6.1", 8),
        ("TWO", "2.2", 16),
    ]
    .into_iter()
    .map(|(party, variant, n)| ((party.parse().unwrap(), variant.parse().unwrap()), sent(n)))
    .collect();
    let shown = |dimensions: &[Dimension]| -> Vec<(String, u64)> {
        let grouping = Grouping::of(dimensions.to_vec()).unwrap();
        let report = report(&grouping, &finest);
        let text = |part: &Part| match part {
            Part::Supplier(party) => party.to_string(),
            Part::Variant(variant) => variant.to_string(),
            Part::BusinessProcess(process) => process.to_string(),
        };
        let rows = report.rows.iter().map(|(key, figures)| {
            let key: Vec<String> = key.0.iter().map(text).collect();
            (key.join(" "), figures.total().sent())
        });
        rows.collect()
    };
    let rows = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        rows.iter().map(|&(key, n)| (key.to_owned(), n)).collect()
    };
    assert_eq!(
        shown(&[Dimension::BusinessProcess]),
        rows(&[("billing-reads", 11), ("other", 4), ("prepayment", 16)])
    );
    assert_eq!(
        shown(&[Dimension::BusinessProcess, Dimension::Supplier]),
        rows(&[
            ("billing-reads ONE", 3),
            ("billing-reads TWO", 8),
            ("other ONE", 4),
            ("prepayment TWO", 16),
        ])
    );
    assert_eq!(
        shown(&[Dimension::Supplier]),
        rows(&[("ONE", 7), ("TWO", 24)])
    );
}

proptest! {
    /// Nothing is dropped: not even a variant that no table lists.
    #[test]
    fn the_rows_of_any_grouping_sum_to_the_totals(finest in finest(), grouping in groupings()) {
        let report = report(&grouping, &finest);
        prop_assert_eq!(sum(report.rows.values()), report.totals);
        prop_assert_eq!(sum(finest.values()), report.totals);
    }

    #[test]
    fn fewer_dimensions_are_the_sums_of_more(
        finest in finest(),
        (more, fewer) in groupings().prop_flat_map(|more| {
            let fewer = prop::sample::subsequence(more.0.clone(), 1..=more.0.len());
            (Just(more), fewer.prop_shuffle().prop_map(Grouping))
        }),
    ) {
        let mut summed: BTreeMap<RowKey, Figures> = BTreeMap::new();
        for (key, figures) in report(&more, &finest).rows {
            *summed.entry(RowKey(parts(&key, &fewer, &more))).or_default() += figures;
        }
        prop_assert_eq!(report(&fewer, &finest).rows, summed);
    }

    /// By supplier and variant, a report has the figures as they are counted.
    #[test]
    fn the_default_groups_nothing_together(finest in finest()) {
        let report = report(&Grouping::default(), &finest);
        let rows: FinestFigures = report.rows.into_iter().map(|(key, figures)| {
            let [Part::Supplier(party), Part::Variant(variant)] = &key.0[..] else {
                panic!("{key:?}");
            };
            ((party.clone(), variant.clone()), figures)
        }).collect();
        prop_assert_eq!(rows, finest);
    }

    /// The reports of the processes, one by one, are the report of all.
    #[test]
    fn every_variant_is_of_one_process(finest in finest(), grouping in groupings()) {
        let processes = BusinessProcesses::builtin();
        let mut rows: BTreeMap<RowKey, Figures> = BTreeMap::new();
        for process in processes.processes() {
            let report = grouping.report(&finest, processes, Some(&process.key));
            prop_assert_eq!(sum(report.rows.values()), report.totals);
            for (key, figures) in report.rows {
                *rows.entry(key).or_default() += figures;
            }
        }
        prop_assert_eq!(rows, report(&grouping, &finest).rows);
    }

    #[test]
    fn pages_make_up_the_report(finest in finest(), grouping in groupings(), size in 1_usize..10) {
        let report = report(&grouping, &finest);
        let (mut rows, mut after) = (BTreeMap::new(), None);
        loop {
            let (page, more) = report.page(after.as_ref(), size);
            prop_assert!(page.len() <= size);
            prop_assert_eq!(more && page.len() < size, false);
            let page = page.into_iter().map(|(key, figures)| (key.clone(), *figures));
            for (key, figures) in page {
                prop_assert!(after.as_ref().is_none_or(|after| *after < key));
                after = Some(key.clone());
                prop_assert_eq!(rows.insert(key, figures), None);
            }
            if !more {
                break;
            }
        }
        prop_assert_eq!(rows, report.rows);
    }
}
