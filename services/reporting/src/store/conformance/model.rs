//! Does SQL count what the pure rules say?
//!
//! A long history, drawn at random and always the same, goes into the store in mixed batches. At
//! every step its figures must be those that the rules give for all outcomes and all flag events so
//! far.

use std::collections::BTreeMap;

use mesh_api::common::v1::MessageClass;
use mesh_store::conformance::Database;
use mesh_types::{Interval, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Checked;
use super::world::{World, excepted_of, flag, hour, of_month, party, read, totals};
use crate::business_process::BusinessProcesses;
use crate::edition::{Content, Edition};
use crate::exception::{Excepted, excepted};
use crate::figures::Figures;
use crate::flags::{FlagChange, fold};
use crate::grouping::{Dimension, FinestFigures, Grouping, Part, RowKey};
use crate::outcome::{Ending, Origin, Outcome};
use crate::period::{Period, Zone};
use crate::store::{
    Beginning, ExceptedKey, ExceptedQuery, FiguresQuery, MonthFigures, NotBegun, Recording,
};

const MONTHS: [&str; 3] = ["2026-10", "2026-11", "2026-12"];

/// One thing that reaches the service.
#[derive(Debug, Clone)]
enum Arrival {
    Flags(Vec<FlagDraft>),
    Outcomes(Vec<OutcomeDraft>),
    /// The owner of the flags says that there are no older ones.
    Settled,
    /// An operator closes or restates whatever can be.
    Closed,
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
        0_u8..4,
        class,
        ending,
        origin,
    );
    let outcomes = prop::collection::vec(outcome, 1..60);
    let arrival = prop_oneof![
        3 => flags.prop_map(Arrival::Flags),
        4 => outcomes.prop_map(Arrival::Outcomes),
        2 => Just(Arrival::Settled),
        1 => Just(Arrival::Closed),
    ];
    prop::collection::vec(arrival, 100)
}

/// Everything that has arrived.
struct Model {
    outcomes: Vec<Recording>,
    changes: Vec<FlagChange>,
    hour: i64,
    /// Up to when the exceptions are settled.
    settled: Timestamp,
    editions: Vec<Closed>,
}

/// An edition, and which outcomes had arrived by then.
struct Closed {
    edition: Edition,
    /// Those that the edition before it has, and those that this one has.
    arrived: [usize; 2],
    text: String,
}

impl Model {
    const fn new() -> Self {
        Self {
            outcomes: Vec::new(),
            changes: Vec::new(),
            hour: 0,
            settled: Timestamp::from_micros(0),
            editions: Vec::new(),
        }
    }

    /// The same with these outcomes only.
    fn with(&self, outcomes: &[Recording]) -> Self {
        Self {
            outcomes: outcomes.to_vec(),
            changes: self.changes.clone(),
            ..Self::new()
        }
    }

    /// What becomes of closing the month now.
    fn closing(&self, period: Period) -> Result<[usize; 2], NotBegun> {
        let last = self.editions.iter().rev();
        let last = last.clone().find(|one| one.edition.period == period);
        let before = last.map_or(0, |last| last.arrived[1]);
        let mut new = self.outcomes[before..].iter();
        let month = period.interval();
        if self.settled < month.end() {
            let settled_until = (self.settled.micros() > 0).then_some(self.settled);
            Err(NotBegun::NotSettled { settled_until })
        } else if last.is_some() && !new.any(|one| month.contains(one.outcome.request_time)) {
            Err(NotBegun::NothingNew)
        } else {
            Ok([before, self.outcomes.len()])
        }
    }

    async fn close(&mut self, world: &World, period: Period) -> Checked {
        let of_month = self
            .editions
            .iter()
            .filter(|one| one.edition.period == period);
        let expected = self.closing(period);
        let beginning = Beginning {
            period,
            restatement: u32::try_from(of_month.count())?,
            by_operator: true,
        };
        match (world.store.close_month(beginning).await?, expected) {
            (Ok(edition), Ok(arrived)) => {
                let text = world.store.edition_content(&edition).await?;
                assert_eq!(edition.sealed.sha256, Content::sha256(&text));
                self.editions.push(Closed {
                    edition,
                    arrived,
                    text,
                });
            }
            (closed, expected) => assert_eq!(closed.map(|_| [0, 0]), expected, "{period:?}"),
        }
        Ok(())
    }

    /// Whatever came since, the editions say what they said.
    async fn editions_agree(&self, world: &World) -> Checked {
        for Closed {
            edition,
            arrived: [before, until],
            text,
        } in &self.editions
        {
            assert_eq!(world.store.edition_content(edition).await?, *text);
            for (layers, outcomes) in [
                (edition.layers(), 0..*until),
                (edition.added(), *before..*until),
            ] {
                let model = self.with(&self.outcomes[outcomes]);
                let query = FiguresQuery {
                    period: edition.period,
                    layers: layers.clone(),
                    ..of_month("2026-11")
                };
                let figures = world.store.figures(&query).await?;
                model.agrees(&query, &figures);
                let query = ExceptedQuery {
                    period: edition.period,
                    layers,
                    ..excepted_of("2026-11")
                };
                model.devices_agree(world, &query, 5).await?;
            }
        }
        Ok(())
    }

    fn flags(&mut self, drafts: &[FlagDraft]) -> Vec<FlagChange> {
        let changes = drafts.iter().map(|&(later, meter, state)| {
            // Some events share an instant; none is earlier than the one before.
            self.hour += later;
            let proxy = if meter == 3 { 3 } else { 11 };
            let at = self.now();
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

    /// When the last event was.
    const fn now(&self) -> Timestamp {
        hour(self.hour - 700)
    }

    fn outcomes(&mut self, drafts: &[OutcomeDraft]) -> Vec<Recording> {
        let already = self.outcomes.len();
        for &(at, number, supplier, variant, class, ending, origin) in drafts {
            let mut one = read(&self.outcomes.len().to_string(), number, hour(at));
            one.outcome.party = party(["ONE", "TWO", "THREE"][usize::from(supplier)]);
            let variant = ["4.8.1", "4.10", "11.3", "99.1"][usize::from(variant)];
            one.outcome.variant = variant.parse().expect("a variant");
            one.outcome.class = class;
            one.outcome.ending = ending;
            one.outcome.origin = origin;
            self.outcomes.push(one);
        }
        self.outcomes[already..].to_vec()
    }

    /// The outcomes of a period, each with whether it is excepted.
    fn judged(&self, period: Period) -> Vec<(&Recording, bool)> {
        let intervals = fold(&[], &self.changes);
        let of_month = self
            .outcomes
            .iter()
            .filter(|one| period.interval().contains(one.outcome.request_time));
        let judged = of_month.map(|one| {
            let reduced: Vec<Interval> = intervals
                .iter()
                .filter(|interval| interval.device == one.permit.device())
                .filter_map(|interval| Interval::new(interval.start, Some(interval.end)).ok())
                .collect();
            let Outcome {
                class,
                request_time,
                ..
            } = one.outcome;
            (one, excepted(class, request_time, &reduced))
        });
        judged.collect()
    }

    /// The figures of a month, by whatever `key` makes of an outcome; `None` is left out.
    fn figures<K: Ord>(
        &self,
        period: Period,
        key: impl Fn(&Outcome) -> Option<K>,
    ) -> BTreeMap<K, Figures> {
        let mut rows: BTreeMap<K, Figures> = BTreeMap::new();
        for (one, excepted) in self.judged(period) {
            let outcome = &one.outcome;
            let Some(key) = key(outcome) else { continue };
            let figures = rows.entry(key).or_default();
            figures.count(outcome.origin, outcome.ending, 1);
            if excepted {
                figures.except(outcome.origin, outcome.ending, 1);
            }
        }
        rows
    }

    fn agrees(&self, query: &FiguresQuery, month: &MonthFigures) {
        let expected: FinestFigures = self.figures(query.period, |outcome| {
            let asked = asked(query.party.as_ref(), &outcome.party)
                && asked(query.variant.as_ref(), &outcome.variant);
            asked.then(|| (outcome.party.clone(), outcome.variant.clone()))
        });
        assert_eq!(month.figures, expected, "{query:?}");
    }

    /// Grouped straight from the outcomes, a report is what it is made of the figures.
    fn groups_agree(&self, query: &FiguresQuery, month: &MonthFigures) {
        let processes = BusinessProcesses::builtin();
        for dimensions in [
            vec![Dimension::BusinessProcess],
            vec![Dimension::Supplier, Dimension::BusinessProcess],
            vec![Dimension::Variant, Dimension::Supplier],
        ] {
            let expected = self.figures(query.period, |outcome| {
                let parts = dimensions.iter().map(|dimension| match dimension {
                    Dimension::Supplier => Part::Supplier(outcome.party.clone()),
                    Dimension::Variant => Part::Variant(outcome.variant.clone()),
                    Dimension::BusinessProcess => {
                        Part::BusinessProcess(processes.of(&outcome.variant).clone())
                    }
                });
                Some(RowKey(parts.collect()))
            });
            let grouping = Grouping::of(dimensions.clone()).expect("none twice");
            let report = grouping.report(&month.figures, processes, None);
            assert_eq!(report.rows, expected, "{grouping:?}");
            assert_eq!(report.totals, totals(month), "{grouping:?}");
        }
    }

    /// The Devices with excepted requests, in their order.
    fn excepted(&self, query: &ExceptedQuery) -> Vec<(ExceptedKey, Excepted)> {
        let mut rows: BTreeMap<ExceptedKey, Excepted> = BTreeMap::new();
        let excepted = self.judged(query.period).into_iter();
        for (one, _) in excepted.filter(|(_, excepted)| *excepted) {
            let outcome = &one.outcome;
            if !asked(query.party.as_ref(), &outcome.party) {
                continue;
            }
            let key = (
                one.permit.device(),
                outcome.party.clone(),
                outcome.variant.clone(),
            );
            let row = rows.entry(key).or_default();
            match outcome.ending {
                Ending::Succeeded => row.delivered += 1,
                Ending::Failed => row.failed += 1,
                Ending::Suppressed => row.suppressed += 1,
            }
        }
        if query.delivered_only {
            rows.retain(|_, excepted| excepted.delivered > 0);
        }
        rows.into_iter().collect()
    }

    async fn devices_agree(&self, world: &World, query: &ExceptedQuery, size: usize) -> Checked {
        let expected = self.excepted(query);
        assert_eq!(world.excepted(query, size).await?, expected, "{query:?}");
        Ok(())
    }
}

fn periods() -> impl Iterator<Item = Period> {
    let months = MONTHS.map(|month| of_month(month).period.month);
    let of_zones = |month| Zone::ALL.map(|zone| Period { month, zone });
    months.into_iter().flat_map(of_zones)
}

fn asked<T: PartialEq>(only: Option<&T>, one: &T) -> bool {
    only.is_none_or(|only| only == one)
}

/// Whatever arrives, in whatever order.
pub(in crate::store) async fn figures_are_those_of_the_pure_rules(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let mut runner = TestRunner::deterministic();
    let arrivals = arrivals()
        .new_tree(&mut runner)
        .map_err(|reason| reason.to_string())?
        .current();
    let mut model = Model::new();
    for arrival in &arrivals {
        match arrival {
            Arrival::Flags(drafts) => {
                let changes = model.flags(drafts);
                world.flags(&changes).await?.expect("in step");
            }
            Arrival::Outcomes(drafts) => {
                world.record(model.outcomes(drafts)).await?;
            }
            Arrival::Settled => {
                world.settle(model.now()).await?;
                // Nothing is settled by a log that has not begun, and nothing ahead of the store's clock.
                if !model.changes.is_empty() {
                    model.settled = model.settled.max(model.now().min(hour(1_000)));
                }
            }
            Arrival::Closed => {
                for period in periods() {
                    model.close(&world, period).await?;
                }
            }
        }
        for period in periods() {
            let query = FiguresQuery {
                period,
                ..of_month("2026-11")
            };
            let figures = world.store.figures(&query).await?;
            model.agrees(&query, &figures);
            assert_eq!(figures.basis.outcomes, model.outcomes.len() as u64);
            model.groups_agree(&query, &figures);
            let query = ExceptedQuery {
                period,
                ..excepted_of("2026-11")
            };
            model.devices_agree(&world, &query, 5).await?;
        }
    }
    // Closed, and restated more than once.
    let restatements = model.editions.iter().map(|one| one.edition.restatement);
    assert!(restatements.max() > Some(1), "{}", model.editions.len());
    model.editions_agree(&world).await?;
    // A history in which nothing is excepted would show nothing.
    let total = totals(&world.november().await?).total();
    assert!(
        total.excepted > 0 && total.excepted < total.sent(),
        "{total:?}"
    );
    assert!(total.excepted_but_delivered > 0);
    let narrow = FiguresQuery {
        party: Some(party("TWO")),
        variant: Some("4.8.1".parse()?),
        ..of_month("2026-11")
    };
    let figures = world.store.figures(&narrow).await?;
    model.agrees(&narrow, &figures);
    devices_agree_however_they_are_asked_for(&model, &world).await
}

async fn devices_agree_however_they_are_asked_for(model: &Model, world: &World) -> Checked {
    let all = model.excepted(&excepted_of("2026-11"));
    for delivered_only in [false, true] {
        for party in [None, Some(party("TWO"))] {
            let query = ExceptedQuery {
                party,
                delivered_only,
                ..excepted_of("2026-11")
            };
            // Whatever is asked for leaves some and takes some away.
            let some = model.excepted(&query).len();
            assert!(some > 0 && (some < all.len() || query == excepted_of("2026-11")));
            for size in [1, 2, 3, 1_000] {
                model.devices_agree(world, &query, size).await?;
            }
        }
    }
    Ok(())
}
