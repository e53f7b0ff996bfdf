//! What must be true of the log `flags`, whatever happened?

use std::collections::{BTreeMap, HashMap};

use mesh_api::flag_registry::v1::{
    Cause, FlagEntry, FlagEvent, FlagFacts, FlagState, ReviewReason,
};
use mesh_api::registration::v1::{PartyEvent, PartyStatus};
use mesh_types::Timestamp;

use super::actors::Storm;
use super::record::{Facts, Record, instant};

/// Every event rests on the supplier, hub, CSP and coverage that were right at its position of the
/// log `devices`, and on no position before that of an event ahead of it.
pub(super) fn events(events: &[FlagEvent], record: &Record) {
    let mut faults = Vec::new();
    for events in by_device(events).values() {
        for pair in events.windows(2) {
            if rests_on(pair[0]) > rests_on(pair[1]) {
                faults.push(format!("older facts than before it: {:?}", pair[1]));
            }
            if pair[0].current != pair[1].previous {
                faults.push(format!("another past than it has: {:?}", pair[1]));
            }
        }
        faults.extend(unasked_reviews(events));
        for (index, event) in events.iter().enumerate() {
            // One event of the log `devices` may be told in several parts; the last one is whole.
            let next = events.get(index + 1);
            let goes_on = next.is_some_and(|next| rests_on(next) == rests_on(event));
            let is_part = event.actor.is_none() && goes_on;
            faults.extend(wrong(event, record).filter(|_| !is_part));
        }
    }
    none(&faults);
}

/// A change of supplier that was in effect already when the flag was set asks for a review.
fn unasked_reviews(events: &[&FlagEvent]) -> Vec<String> {
    let mut since = None;
    let mut faults = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let effective = instant(event.effective_time.as_ref());
        let (before, after) = (event.previous.as_ref(), event.current.as_ref());
        let (before, after) = (before.unwrap().state(), after.unwrap().state());
        if after != before {
            since = (after == FlagState::Flagged).then_some(effective);
        }
        let is_late = since.is_some_and(|since| effective < since);
        let next = events.get(index + 1).map(|next| next.review_reason());
        if event.cause() == Cause::SupplierChanged
            && is_late
            && next != Some(ReviewReason::BackdatedRegistration)
        {
            faults.push(format!("no review was asked for: {event:?}"));
        }
    }
    faults
}

/// What is wrong with an event, by the log `devices`.
fn wrong(event: &FlagEvent, record: &Record) -> Option<String> {
    let rests_on = rests_on(event);
    let at = match (&event.actor, event.cause()) {
        (Some(_), _) => instant(event.recorded_time.as_ref()),
        // These speak of another instant than that at which they became known.
        (None, Cause::SupplierChanged | Cause::ReviewNeeded) => {
            instant(event.effective_time.as_ref())
        }
        (None, _) => record.time(rests_on),
    };
    let right = record.facts(&event.device_id, rests_on, at);
    if facts(event.current.as_ref()?) != right {
        return Some(format!("{right:?} was right: {event:?}"));
    }
    let actor = event.actor.as_ref()?;
    let by = record.registration(&event.device_id, rests_on, at);
    let by = by.map(|by| (&by.party_id, &by.registration_id));
    (by != Some((&actor.party_id, &event.registration_id)))
        .then(|| format!("{by:?} was responsible: {event:?}"))
}

/// Every accepted call has one event, at the place that it was told, and no other call has any.
///
/// A call that began after the operator was told that its party is suspended was not accepted, for
/// registration knows it then; nor was one that was under way committed once flag-registry knew.
pub(super) fn calls(events: &[FlagEvent], parties: &[PartyEvent], storm: &Storm) {
    let mut faults = Vec::new();
    let mut told: HashMap<&str, u64> = HashMap::new();
    for event in events.iter().filter(|event| event.actor.is_some()) {
        if told.insert(&event.request_id, event.sequence).is_some() {
            faults.push(format!("a second effect: {event:?}"));
        }
    }
    for call in &storm.calls {
        let answered = call.answer.as_ref().map(|position| position.sequence);
        if told.get(call.request_id.as_str()).copied() != answered.ok() {
            faults.push(format!("not what the log says: {call:?}"));
        }
        let Ok(position) = &call.answer else { continue };
        let event = &events[usize::try_from(position.sequence).unwrap() - 1];
        let committed = instant(event.recorded_time.as_ref());
        if status_at(parties, call.party, committed) == PartyStatus::Active {
            continue;
        }
        let suspension = storm.suspensions.iter().find(|s| s.party == call.party);
        let suspension = suspension.unwrap();
        if call.began > suspension.answered || committed > suspension.known {
            faults.push(format!("accepted during {suspension:?}: {call:?}"));
        }
    }
    none(&faults);
}

/// Every entry is what its last event made of it, and that is what is right now: nothing was left
/// behind with an old supplier, hub, CSP or coverage.
pub(super) fn entries(entries: &[FlagEntry], events: &[FlagEvent], record: &Record) {
    let mut faults = Vec::new();
    let by_device = by_device(events);
    assert_eq!(entries.len(), by_device.len());
    let head = record.head();
    for entry in entries {
        let last = by_device[&entry.device_id].last().unwrap();
        let right = record.facts(&entry.device_id, head, record.time(head));
        let found = Facts {
            supplier: entry.responsible_party_id.clone(),
            hub: entry.communications_hub_id.clone(),
            csp: entry.csp_id.clone(),
            covered: entry.covered_device_ids.clone(),
        };
        let current = last.current.as_ref().unwrap();
        if found != right || facts(current) != right || current.state() != entry.state() {
            faults.push(format!("{right:?} is right: {entry:?} after {last:?}"));
        }
    }
    none(&faults);
}

/// Whether a party might act at an instant, by what was recorded then.
fn status_at(parties: &[PartyEvent], party: &str, at: Timestamp) -> PartyStatus {
    let recorded = parties.iter().rev().filter_map(|event| {
        let known = instant(event.recorded_time.as_ref()) <= at;
        event.party.as_ref().filter(|_| known)
    });
    let mut recorded = recorded.filter(|recorded| recorded.party_id == party);
    recorded.next().unwrap().status()
}

fn by_device(events: &[FlagEvent]) -> BTreeMap<String, Vec<&FlagEvent>> {
    let mut by_device: BTreeMap<String, Vec<&FlagEvent>> = BTreeMap::new();
    for event in events {
        by_device
            .entry(event.device_id.clone())
            .or_default()
            .push(event);
    }
    by_device
}

fn rests_on(event: &FlagEvent) -> u64 {
    event.registration_position.as_ref().unwrap().sequence
}

fn facts(facts: &FlagFacts) -> Facts {
    Facts {
        supplier: facts.responsible_party_id.clone(),
        hub: facts.communications_hub_id.clone(),
        csp: facts.csp_id.clone(),
        covered: facts.covered_device_ids.clone(),
    }
}

fn none(faults: &[String]) {
    let first: Vec<_> = faults.iter().take(5).cloned().collect();
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        first.join("\n")
    );
}
