//! Are the meters at the end of a month those that somebody finds who applies both logs up to there, and no further?

use std::collections::BTreeMap;

use mesh_api::registration::v1::SmiStatus;
use mesh_store::conformance::Database;
use mesh_types::{DeviceId, PartyId, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Checked;
use super::world::{World, cursor, device, flag, hour, meter, party, utc};
use crate::flags::FlagChange;
use crate::obligation::{Fuel, Meter, MeterChange, MeterEvent, Obligation};
use crate::period::{Period, Zone};
use crate::store::{AtEnd, Step};

const MONTHS: [&str; 5] = ["2026-07", "2026-08", "2026-09", "2026-10", "2026-11"];

/// What the clock of the tests shows, which bounds what an owner is believed.
const NOW: Timestamp = hour(1_000);

/// Hours since the event before, meter, what it is, supplier.
type MeterDraft = (i64, u64, u8, usize);
/// Hours since the event before, meter, whether it is flagged.
type FlagDraft = (i64, u64, bool);

/// One thing that reaches the service.
#[derive(Debug, Clone)]
enum Arrival {
    Meters(Vec<MeterDraft>),
    Flags(Vec<FlagDraft>),
    /// The owner of `devices` says that there is nothing older than so many hours after its last event.
    DevicesKnown(i64),
    /// The owner of `flags` says so.
    FlagsKnown(i64),
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    // Whole hours: many events are at the very end of a month.
    let later = || prop::sample::select(vec![0_i64, 0, 1, 1, 5, 24, 120]);
    let meters = (later(), 1_u64..8, 0_u8..8, 0..3_usize);
    let meters = prop::collection::vec(meters, 1..9);
    let flags = (later(), 1_u64..8, any::<bool>());
    let flags = prop::collection::vec(flags, 1..9);
    let arrival = prop_oneof![
        3 => meters.prop_map(Arrival::Meters),
        3 => flags.prop_map(Arrival::Flags),
        2 => later().prop_map(Arrival::DevicesKnown),
        2 => later().prop_map(Arrival::FlagsKnown),
    ];
    prop::collection::vec(arrival, 90)
}

/// Everything that has arrived.
struct Model {
    meters: Vec<MeterEvent>,
    flags: Vec<FlagChange>,
    /// Of each log: when its last event was, and up to when it is known.
    devices_at: i64,
    flags_at: i64,
    /// After which instant ends of months are seen, and up to where the log `devices` is known.
    watched: Option<[Timestamp; 2]>,
    flags_known: Timestamp,
    complete: BTreeMap<Timestamp, Vec<(PartyId, Obligation)>>,
}

impl Model {
    fn meter_events(&mut self, drafts: Vec<MeterDraft>) -> Vec<MeterEvent> {
        let read = drafts.into_iter().map(|(later, number, what, supplier)| {
            self.devices_at += later;
            let supplier = ["", "ONE", "TWO"][supplier];
            let change = match what {
                0 => None,
                // With a GPF, which is no meter.
                1..4 => Some(MeterChange::Supplier {
                    devices: vec![device(number), device(100 + number)],
                    supplier: supplier.parse().ok(),
                }),
                _ => {
                    let fuel = [Fuel::Electricity, Fuel::Gas][usize::from(number > 4)];
                    let mut meter = meter(number, fuel, supplier);
                    if what == 4 {
                        meter.facts.smi_status = SmiStatus::Suspended.into();
                    }
                    Some(MeterChange::Recorded(meter))
                }
            };
            MeterEvent {
                at: hour(self.devices_at),
                change,
            }
        });
        let events: Vec<_> = read.collect();
        let (first, last) = (events[0].at, events[events.len() - 1].at);
        let [since, until] = self.watched.unwrap_or([first, first]);
        self.watched = Some([since, until.max(last)]);
        self.meters.extend(events.iter().cloned());
        events
    }

    fn flag_events(&mut self, drafts: Vec<FlagDraft>) -> Vec<FlagChange> {
        let read = drafts.into_iter().map(|(later, number, flagged)| {
            self.flags_at += later;
            let covered = [number, 100 + number];
            let reduced = if flagged { &covered[..] } else { &[] };
            flag(number, hour(self.flags_at), reduced)
        });
        let events: Vec<_> = read.collect();
        self.flags.extend(events.iter().cloned());
        events
    }

    /// What the suppliers have when only what is older than `end` was recorded.
    fn suppliers_at(&self, end: Timestamp) -> Vec<(PartyId, Obligation)> {
        let mut meters: BTreeMap<DeviceId, Meter> = BTreeMap::new();
        for event in self.meters.iter().filter(|event| event.at < end) {
            match &event.change {
                None => {}
                Some(MeterChange::Recorded(meter)) => {
                    meters.insert(meter.device, meter.clone());
                }
                Some(MeterChange::Supplier { devices, supplier }) => {
                    for device in devices {
                        if let Some(meter) = meters.get_mut(device) {
                            meter.supplier.clone_from(supplier);
                        }
                    }
                }
            }
        }
        let mut suppliers: BTreeMap<PartyId, Obligation> = BTreeMap::new();
        for meter in meters.values() {
            let Some(supplier) = &meter.supplier else {
                continue;
            };
            let of_meter = self.flags.iter().rev();
            let mut of_meter = of_meter.filter(|flag| flag.source == meter.device && flag.at < end);
            let flagged = of_meter.next().is_some_and(FlagChange::is_flagged);
            let row = suppliers.entry(supplier.clone()).or_default();
            row.add(&meter.facts, 1, u64::from(flagged));
        }
        suppliers.into_iter().collect()
    }

    /// What has to be known of an end of a month.
    fn at_end(&mut self, end: Timestamp) -> AtEnd {
        let Some([since, until]) = self.watched.filter(|[since, _]| *since < end) else {
            return AtEnd::NotSeen;
        };
        assert!(since <= until);
        if end <= until && end <= self.flags_known && !self.complete.contains_key(&end) {
            self.complete.insert(end, self.suppliers_at(end));
        }
        match self.complete.get(&end) {
            Some(rows) => AtEnd::Known(rows.clone()),
            None => AtEnd::NotYet,
        }
    }

    async fn agrees(&mut self, world: &World) -> Checked {
        for month in MONTHS {
            for zone in Zone::ALL {
                let period = Period { zone, ..utc(month) };
                let (known, _) = world.store.obligations_at_end(period, None).await?;
                let expected = self.at_end(period.interval().end());
                assert_eq!(known, expected, "{period:?}");
            }
        }
        Ok(())
    }
}

async fn apply(world: &World, events: &[MeterEvent]) -> Checked {
    let from = world.store.devices_cursor().await?;
    let sequence = from.as_ref().map_or(0, |cursor| cursor.position.sequence);
    let to = cursor("devices", 1, sequence + events.len() as u64);
    let applied = world.store.apply_meters(Step { from, to }, events.to_vec());
    applied.await?.expect("in step");
    Ok(())
}

async fn devices_known(world: &World, until: Timestamp, looked: Timestamp) -> Checked {
    if let Some(at) = world.store.devices_cursor().await? {
        world.store.devices_known(&at, until, looked).await?;
    }
    Ok(())
}

/// Whichever log is ahead, and however far.
pub(in crate::store) async fn meters_are_counted_as_they_were(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let mut runner = TestRunner::deterministic();
    let arrivals = arrivals()
        .new_tree(&mut runner)
        .map_err(|reason| reason.to_string())?
        .current();
    let mut model = Model {
        meters: Vec::new(),
        flags: Vec::new(),
        devices_at: -110 * 24,
        flags_at: -110 * 24,
        watched: None,
        flags_known: Timestamp::from_micros(0),
        complete: BTreeMap::new(),
    };
    let mut waited = 0;
    for arrival in arrivals {
        match arrival {
            Arrival::Meters(drafts) => apply(&world, &model.meter_events(drafts)).await?,
            Arrival::Flags(drafts) => {
                let events = model.flag_events(drafts);
                world.flags(&events).await?.expect("in step");
            }
            Arrival::DevicesKnown(later) => {
                model.devices_at += later;
                let until = hour(model.devices_at).min(NOW);
                devices_known(&world, until, until).await?;
                if let Some([_, known]) = &mut model.watched {
                    *known = until.max(*known);
                }
            }
            Arrival::FlagsKnown(later) => {
                model.flags_at += later;
                let until = hour(model.flags_at).min(NOW);
                world.settle(until).await?;
                if !model.flags.is_empty() {
                    model.flags_known = until.max(model.flags_known);
                }
            }
        }
        model.agrees(&world).await?;
        let ends = MONTHS.map(|month| utc(month).interval().end());
        let waits = |end: &Timestamp| {
            model
                .watched
                .is_some_and(|[since, until]| since < *end && *end <= until)
                && !model.complete.contains_key(end)
        };
        waited += ends.iter().filter(|end| waits(end)).count();
    }
    // A history in which no log waits for the other, or nothing is reduced, would show nothing.
    assert!(waited > 5 && model.complete.len() > 5, "{waited}");
    let rows = model.complete.values().flatten();
    let [all, reduced] = rows.fold([0, 0], |[all, reduced], (_, meters)| {
        [
            all + meters.electricity + meters.gas,
            reduced + meters.electricity_reduced + meters.gas_reduced,
        ]
    });
    assert!(reduced > 0 && reduced < all, "{:?}", model.complete);
    let of_two = Some(party("TWO"));
    for (end, rows) in &model.complete {
        let month = MONTHS
            .map(utc)
            .into_iter()
            .find(|period| period.interval().end() == *end);
        let Some(month) = month else { continue };
        let (known, _) = world
            .store
            .obligations_at_end(month, of_two.as_ref())
            .await?;
        let rows = rows
            .iter()
            .filter(|(party, _)| Some(party) == of_two.as_ref());
        assert_eq!(known, AtEnd::Known(rows.cloned().collect()));
    }
    world.close().await;
    Ok(())
}

fn recorded(number: u64, at: i64, supplier: &str) -> MeterEvent {
    MeterEvent {
        at: hour(at),
        change: Some(MeterChange::Recorded(meter(number, Fuel::Gas, supplier))),
    }
}

async fn october(world: &World) -> Result<AtEnd, mesh_store::StoreError> {
    Ok(world
        .store
        .obligations_at_end(utc("2026-10"), None)
        .await?
        .0)
}

/// When meters are loaded anew, what they were meanwhile is not known; what was complete before stays.
pub(in crate::store) async fn what_was_loaded_anew_has_no_past(database: &Database) -> Checked {
    let world = World::open(database).await?;
    apply(&world, &[recorded(1, -800, "ONE"), recorded(2, -1, "ONE")]).await?;
    world
        .flags(&[flag(1, hour(-2), &[1])])
        .await?
        .expect("in step");
    apply(&world, &[recorded(2, 0, "TWO")]).await?;
    let september = utc("2026-09");
    let at_end = async |period| world.store.obligations_at_end(period, None).await;
    assert_eq!(october(&world).await?, AtEnd::NotYet);
    world.settle(hour(-24)).await?;
    let gas = |gas, gas_reduced| Obligation {
        gas,
        gas_reduced,
        ..Obligation::default()
    };
    let known = AtEnd::Known(vec![(party("ONE"), gas(1, 0))]);
    assert_eq!(at_end(september).await?.0, known);
    assert_eq!(october(&world).await?, AtEnd::NotYet);

    world
        .store
        .arrive(1, vec![meter(9, Fuel::Gas, "ONE")])
        .await?;
    let from = world.store.devices_cursor().await?;
    let to = cursor("devices", 2, 50);
    let step = Step {
        from,
        to: to.clone(),
    };
    world.store.load_arrived(1, step).await?.expect("in step");
    world.settle(hour(10)).await?;
    assert_eq!(october(&world).await?, AtEnd::NotSeen);
    assert_eq!(at_end(september).await?.0, known);

    // What was loaded is of an instant that nobody says; the owner's next look is one that is later.
    devices_known(&world, hour(2), hour(3)).await?;
    devices_known(&world, hour(900), hour(901)).await?;
    assert_eq!(october(&world).await?, AtEnd::NotSeen);
    world.settle(hour(900)).await?;
    let november = AtEnd::Known(vec![(party("ONE"), gas(1, 0))]);
    assert_eq!(at_end(utc("2026-11")).await?.0, november);
    world.close().await;
    Ok(())
}

/// A step that began where nobody had looked at months leaves nothing that it may have falsified.
pub(in crate::store) async fn what_others_followed_is_not_seen(database: &Database) -> Checked {
    let world = World::open(database).await?;
    apply(&world, &[recorded(1, -800, "ONE")]).await?;
    apply(&world, &[recorded(1, 0, "TWO")]).await?;
    assert_eq!(october(&world).await?, AtEnd::NotYet);
    let mut tx = world.store.database().begin_write(hour(1)).await?;
    mesh_store::sql::query("UPDATE cursor SET sequence = 7 WHERE follower = 'devices'")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    apply(&world, &[recorded(1, 1, "ONE")]).await?;
    assert_eq!(october(&world).await?, AtEnd::NotSeen);
    world.close().await;
    Ok(())
}
