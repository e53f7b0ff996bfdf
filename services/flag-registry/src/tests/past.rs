//! What held at an instant, whatever was recorded late.

use mesh_api::flag_registry::v1::Cause;
use mesh_types::Timestamp;
use proptest::prelude::*;

use super::fixtures::{CHF, ESME, GPF, OTHER_CHF, OTHER_GPF, id, party, position};
use crate::flag::{Change, Draft, Entry, Meter, Place, Standing};
use crate::past::{Past, Told};

fn at(t: i64) -> Timestamp {
    Timestamp::from_micros(t)
}

/// What an event changes, when it is recorded after the event before it, and how long before that it
/// became true.
type Step = (Part, i64, i64);

#[derive(Debug, Clone, Copy)]
enum Part {
    Flag,
    Supplier(bool),
    Hub(bool),
    Coverage(bool),
    Nothing,
}

/// The events, each true when it says, and the entry after each of them.
fn history(steps: &[Step]) -> Vec<(Told, Entry)> {
    let mut events: Vec<(Told, Entry)> = Vec::new();
    let mut recorded = 0;
    let mut standing = Standing {
        flagged: false,
        covered: vec![id(GPF)],
        hub: Some(id(CHF)),
        csp: Some("north".parse().unwrap()),
        supplier: Some(party("ACME")),
    };
    for (sequence, &(part, later, earlier)) in (1..).zip(steps) {
        recorded += later;
        let previous = standing.clone();
        let cause = match part {
            Part::Flag => {
                standing.flagged = !standing.flagged;
                if standing.flagged {
                    Cause::FlagAdded
                } else {
                    Cause::FlagRemoved
                }
            }
            Part::Supplier(acme) => {
                standing.supplier = acme.then(|| party("ACME"));
                Cause::SupplierChanged
            }
            Part::Hub(one) => {
                standing.hub = Some(id(if one { CHF } else { OTHER_CHF }));
                Cause::HubReplaced
            }
            Part::Coverage(one) => {
                standing.covered = vec![id(if one { GPF } else { OTHER_GPF })];
                Cause::CoverageChanged
            }
            Part::Nothing => Cause::PreferenceRecorded,
        };
        let effective = at(recorded - earlier);
        let draft = Draft {
            device: id(ESME),
            meter: Meter::Gsme,
            previous: previous.clone(),
            change: Change::of_facts(cause, standing.clone(), effective),
            by: None,
            trace_parent: String::new(),
            rests_on: position(1),
        };
        let place = Place {
            sequence,
            recorded_time: at(recorded),
        };
        let before = events.last().map(|(_, entry)| entry);
        let entry = Entry::after(before, draft.happened(place));
        let told = Told {
            sequence,
            effective,
            cause,
            previous,
            current: standing.clone(),
        };
        events.push((told, entry));
    }
    events
}

fn past<'a>(events: impl IntoIterator<Item = &'a Told>, t: Timestamp) -> Past {
    let mut past = Past::new(t);
    for event in events {
        past.take(event.clone());
    }
    past
}

/// Whether the parts are those of an entry.
fn shows(past: &Past, entry: Option<&Entry>) -> Result<(), TestCaseError> {
    let Some(entry) = entry else {
        prop_assert_eq!(past.state, None);
        prop_assert_eq!(&past.supplier, &None);
        return Ok(());
    };
    let state = past.state.unwrap();
    let told = (state.flagged, state.since, state.cause, state.sequence);
    let known = (
        entry.standing.flagged,
        entry.since,
        entry.cause,
        entry.state_sequence,
    );
    prop_assert_eq!(told, known);
    prop_assert_eq!(&past.supplier, &entry.standing.supplier);
    prop_assert_eq!(past.responsible_since, Some(entry.responsible_since));
    prop_assert_eq!(past.hub, entry.standing.hub);
    prop_assert_eq!(&past.csp, &entry.standing.csp);
    prop_assert_eq!(&past.covered, &entry.standing.covered);
    Ok(())
}

fn steps(late: bool) -> impl Strategy<Value = Vec<Step>> {
    let part = prop_oneof![
        Just(Part::Flag),
        any::<bool>().prop_map(Part::Supplier),
        any::<bool>().prop_map(Part::Hub),
        any::<bool>().prop_map(Part::Coverage),
        Just(Part::Nothing),
    ];
    let earlier = if late { 0..30_i64 } else { 0..1 };
    prop::collection::vec((part, 0..5_i64, earlier), 0..20)
}

proptest! {
    #[test]
    fn what_was_recorded_in_time_holds_from_then_on(steps in steps(false), t in 0..60_i64) {
        let events = history(&steps);
        let known = events.iter().rev().find(|(told, _)| told.effective <= at(t));
        let past = past(events.iter().map(|(told, _)| told), at(t));
        shows(&past, known.map(|(_, entry)| entry))?;
    }

    #[test]
    fn after_all_that_is_told_the_entry_holds(steps in steps(true)) {
        let events = history(&steps);
        let past = past(events.iter().map(|(told, _)| told), Timestamp::FOREVER);
        shows(&past, events.last().map(|(_, entry)| entry))?;
    }

    #[test]
    fn a_change_of_one_part_leaves_the_others_alone(steps in steps(true), t in 0..60_i64) {
        let events = history(&steps);
        let all = past(events.iter().map(|(told, _)| told), at(t));
        let mut first = true;
        let others = events.iter().map(|(told, _)| told).filter(|told| {
            std::mem::take(&mut first) || told.previous.supplier == told.current.supplier
        });
        let without = past(others, at(t));
        prop_assert_eq!(all.state, without.state);
        prop_assert_eq!((all.hub, &all.csp), (without.hub, &without.csp));
        prop_assert_eq!(&all.covered, &without.covered);
    }
}

/// ACME set the flag at 20; at 30 it turns out that somebody else was responsible from 10 on.
#[test]
fn a_change_of_supplier_that_comes_late_moves_no_flag() {
    let events = history(&[
        (Part::Nothing, 5, 0),
        (Part::Flag, 15, 0),
        (Part::Supplier(false), 10, 20),
    ]);
    let told = |t| {
        let past = past(events.iter().map(|(told, _)| told), at(t));
        (past.state.is_some_and(|state| state.flagged), past.supplier)
    };
    assert_eq!(told(4), (false, None));
    assert_eq!(told(9), (false, Some(party("ACME"))));
    assert_eq!(told(10), (false, None));
    assert_eq!(told(19), (false, None));
    assert_eq!(told(20), (true, None));
}
