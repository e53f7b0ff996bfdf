//! Does SQL count what the pure rules say?
//!
//! A long history, drawn at random and always the same, goes into the store in mixed batches. At
//! every step its figures must be those that the rules give for all outcomes and all flag events so
//! far.

use std::collections::BTreeMap;

use mesh_api::common::v1::MessageClass;
use mesh_store::conformance::Database;
use mesh_types::Interval;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Checked;
use super::world::{World, flag, hour, of_month, party, read};
use crate::exception::excepted;
use crate::figures::Figures;
use crate::flags::{FlagChange, fold};
use crate::outcome::{Ending, Origin};
use crate::store::{FiguresKey, FiguresPage, FiguresQuery, Recording};

const MONTHS: [&str; 3] = ["2026-10", "2026-11", "2026-12"];

/// One thing that reaches the service.
#[derive(Debug, Clone)]
enum Arrival {
    Flags(Vec<FlagDraft>),
    Outcomes(Vec<OutcomeDraft>),
}

/// Hours since the event before, the meter, and whether it is set with its GPF, without, or lifted.
type FlagDraft = (i64, u64, u8);
/// Hour, Device, supplier, variant, class, how it ended, who started it.
type OutcomeDraft = (i64, u64, u8, u8, MessageClass, Ending, Origin);

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let flags = prop::collection::vec((0_i64..40, 1_u64..4, 0_u8..3), 1..6);
    let class = prop::sample::select(vec![
        MessageClass::Consumption,
        MessageClass::Consumption,
        MessageClass::Firmware,
        MessageClass::Prepayment,
    ]);
    let ending = prop::sample::select(Ending::ALL);
    let origin = prop::sample::select(Origin::ALL);
    // Meters 1 to 3, the GPF 11 of the meters 1 and 2, and a Device that nobody flags.
    let number = prop::sample::select(vec![1_u64, 2, 3, 11, 12]);
    let outcome = (
        -800_i64..1_500,
        number,
        0_u8..3,
        0_u8..3,
        class,
        ending,
        origin,
    );
    let outcomes = prop::collection::vec(outcome, 1..60);
    let arrival = prop_oneof![
        flags.prop_map(Arrival::Flags),
        outcomes.prop_map(Arrival::Outcomes),
    ];
    prop::collection::vec(arrival, 60)
}

/// Everything that has arrived.
#[derive(Default)]
struct Model {
    outcomes: Vec<Recording>,
    changes: Vec<FlagChange>,
    hour: i64,
}

impl Model {
    fn flags(&mut self, drafts: &[FlagDraft]) -> Vec<FlagChange> {
        let changes = drafts.iter().map(|&(later, meter, state)| {
            // Some events share an instant; none is earlier than the one before.
            self.hour += later;
            let proxy = if meter == 3 { 3 } else { 11 };
            let at = hour(self.hour - 700);
            match state {
                0 => flag(meter, at, &[]),
                1 => flag(meter, at, &[meter]),
                _ => flag(meter, at, &[meter, proxy]),
            }
        });
        let changes: Vec<_> = changes.collect();
        self.changes.extend(changes.iter().cloned());
        changes
    }

    fn outcomes(&mut self, drafts: &[OutcomeDraft]) -> Vec<Recording> {
        let already = self.outcomes.len();
        for &(at, number, supplier, variant, class, ending, origin) in drafts {
            let mut one = read(&self.outcomes.len().to_string(), number, hour(at));
            one.outcome.party = party(["ONE", "TWO", "THREE"][usize::from(supplier)]);
            let variant = ["4.8.1", "4.10", "11.3"][usize::from(variant)];
            one.outcome.variant = variant.parse().expect("a variant");
            one.outcome.class = class;
            one.outcome.ending = ending;
            one.outcome.origin = origin;
            self.outcomes.push(one);
        }
        self.outcomes[already..].to_vec()
    }

    fn rows(&self, query: &FiguresQuery) -> BTreeMap<FiguresKey, Figures> {
        let intervals = fold(&[], &self.changes);
        let mut rows: BTreeMap<FiguresKey, Figures> = BTreeMap::new();
        for one in &self.outcomes {
            let outcome = &one.outcome;
            let asked = outcome.month == query.month
                && query
                    .party
                    .as_ref()
                    .is_none_or(|party| *party == outcome.party)
                && query
                    .variant
                    .as_ref()
                    .is_none_or(|variant| *variant == outcome.variant);
            if !asked {
                continue;
            }
            let reduced: Vec<Interval> = intervals
                .iter()
                .filter(|interval| interval.device == one.permit.device())
                .filter_map(|interval| Interval::new(interval.start, Some(interval.end)).ok())
                .collect();
            let key = (outcome.party.clone(), outcome.variant.clone());
            let figures = rows.entry(key).or_default();
            figures.count(outcome.origin, outcome.ending, 1);
            if excepted(outcome.class, outcome.request_time, &reduced) {
                figures.except(outcome.origin, outcome.ending, 1);
            }
        }
        rows
    }

    fn agrees(&self, query: &FiguresQuery, page: FiguresPage) {
        let expected = self.rows(query);
        let mut totals = Figures::default();
        for figures in expected.values() {
            totals += *figures;
        }
        assert_eq!(page.totals, totals, "{query:?}");
        assert_eq!(
            page.rows.into_iter().collect::<BTreeMap<_, _>>(),
            expected,
            "{query:?}"
        );
        assert_eq!(page.basis.outcomes, self.outcomes.len() as u64);
    }
}

/// Whatever arrives, in whatever order.
pub(in crate::store) async fn figures_are_those_of_the_pure_rules(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let mut runner = TestRunner::deterministic();
    let arrivals = arrivals()
        .new_tree(&mut runner)
        .map_err(|reason| reason.to_string())?
        .current();
    let mut model = Model::default();
    for arrival in &arrivals {
        match arrival {
            Arrival::Flags(drafts) => {
                let changes = model.flags(drafts);
                world.flags(&changes).await?.expect("in step");
            }
            Arrival::Outcomes(drafts) => {
                world.record(model.outcomes(drafts)).await?;
            }
        }
        for month in MONTHS {
            let query = of_month(month);
            let page = world.store.figures(&query, None, 1_000).await?;
            model.agrees(&query, page);
        }
    }
    let narrow = FiguresQuery {
        party: Some(party("TWO")),
        variant: Some("4.8.1".parse()?),
        ..of_month("2026-11")
    };
    let page = world.store.figures(&narrow, None, 1_000).await?;
    // A history in which nothing is excepted would show nothing.
    let total = page.totals.total();
    assert!(
        total.excepted > 0 && total.excepted < total.sent(),
        "{total:?}"
    );
    assert!(total.excepted_but_delivered > 0);
    model.agrees(&narrow, page);
    Ok(())
}
