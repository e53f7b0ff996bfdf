//! Whatever happens in whatever order, the entry is what its events say.

use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState, Preference, ReviewReason};
use mesh_api::registration::v1::{SiteException, SmiStatus};
use proptest::prelude::*;
use prost::Message as _;

use super::fixtures::{
    CHF, GPF, NOW, OTHER_CHF, OTHER_GPF, at, gas_facts, id, party, position, wish,
};
use crate::decide::decide;
use crate::facts::Facts;
use crate::flag::{Change, Draft, Entry, Meter, Place};
use crate::lifecycle::{DeviceEvent, MeterRecord, News};
use crate::preference::WishKind;
use crate::wire::{entry, event_octets};

/// Something that happens to the Device.
#[derive(Debug, Clone, Copy)]
enum Step {
    Wish(WishKind, bool),
    Supplier(bool),
    Hub(bool),
    GasProxy(bool),
    Exception(bool),
    Decommission,
}

fn step() -> impl Strategy<Value = (Step, bool)> {
    let kind = prop_oneof![
        Just(WishKind::Add),
        Just(WishKind::Remove),
        Just(WishKind::Tenancy)
    ];
    let step = prop_oneof![
        6 => (kind, any::<bool>()).prop_map(|(kind, reduced)| Step::Wish(kind, reduced)),
        2 => any::<bool>().prop_map(Step::Supplier),
        2 => any::<bool>().prop_map(Step::Hub),
        2 => any::<bool>().prop_map(Step::GasProxy),
        1 => any::<bool>().prop_map(Step::Exception),
        1 => Just(Step::Decommission),
    ];
    // Whether the follower sees it before the next wish.
    (step, any::<bool>())
}

/// The Device in registration, its entry here, and the log.
struct World {
    facts: Facts,
    /// The position of the log `devices`.
    known: u64,
    entry: Option<Entry>,
    log: Vec<wire::FlagEvent>,
}

impl World {
    fn record(&mut self, change: Change, sequence: u64) {
        let place = Place {
            sequence: self.log.len() as u64 + 1,
            recorded_time: at(NOW + i64::try_from(self.log.len()).unwrap()),
        };
        let before = self.entry.as_ref();
        let event = Draft {
            device: self.facts.device,
            meter: Meter::Gsme,
            previous: before.map_or_else(
                || change.current.with_flag(false),
                |entry| entry.standing.clone(),
            ),
            change,
            by: None,
            trace_parent: String::new(),
            rests_on: position(sequence),
        };
        self.entry = Some(Entry::after(before, event.happened(place)));
        let octets = event_octets(&event, place);
        self.log
            .push(wire::FlagEvent::decode(octets.as_slice()).unwrap());
    }

    fn follow(&mut self) {
        let standing = self.facts.standing(false);
        let event = DeviceEvent {
            recorded_time: at(NOW),
            trace_parent: String::new(),
            news: News::Meter(Box::new(MeterRecord {
                device: self.facts.device,
                supplier: standing.supplier,
                hub: standing.hub,
                csp: standing.csp,
                covered: standing.covered,
                exceptions: self.facts.exceptions.clone(),
                decommissioned: self.facts.smi_status == SmiStatus::Decommissioned,
            })),
        };
        let news = self
            .entry
            .as_ref()
            .filter(|entry| entry.is_behind(&position(self.known)));
        for change in news.map_or_else(Vec::new, |entry| event.effects(entry)) {
            self.record(change, self.known);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wish(kind, reduced) => {
                let preference = if reduced {
                    Preference::Reduced
                } else {
                    Preference::Full
                };
                let mut wish = wish(kind, preference);
                wish.given.choice.captured_by = self.facts.supplier.clone();
                let decided = decide(self.entry.as_ref(), &wish, &self.facts, at(NOW));
                let Ok(decision) = decided else { return };
                for change in decision.caught_up {
                    self.record(change, self.known);
                }
                self.record(decision.change, self.known);
                let entry = self.entry.as_ref().unwrap();
                let flagged = entry.standing.flagged;
                assert_eq!(entry.standing, self.facts.standing(flagged));
                return;
            }
            Step::Supplier(one) => self.facts.supplier = party(if one { "ACME" } else { "RIVAL" }),
            Step::Hub(one) => {
                let hub = self.facts.hub.as_mut().unwrap();
                hub.device = id(if one { CHF } else { OTHER_CHF });
                hub.csp = Some(if one { "north" } else { "south" }.parse().unwrap());
            }
            Step::GasProxy(one) => {
                self.facts.gas_proxy = Some(id(if one { GPF } else { OTHER_GPF }));
            }
            Step::Exception(there) => {
                let exception = there.then_some(SiteException::RadioTeleswitch);
                self.facts.exceptions = exception.into_iter().collect();
            }
            Step::Decommission => self.facts.smi_status = SmiStatus::Decommissioned,
        }
        self.known += 1;
    }
}

/// The entry as somebody who has nothing but the log works it out.
fn fold(log: &[wire::FlagEvent]) -> Option<wire::FlagEntry> {
    let mut entry: Option<wire::FlagEntry> = None;
    for event in log {
        let current = event.current.clone().unwrap();
        let previous = event.previous.clone().unwrap();
        let mut next = entry.take().unwrap_or_else(|| wire::FlagEntry {
            device_id: event.device_id.clone(),
            device_type: event.device_type,
            responsible_since_time: event.effective_time,
            since_time: event.effective_time,
            cause: event.cause,
            state_sequence: event.sequence,
            ..Default::default()
        });
        if previous.state != current.state {
            next.since_time = event.effective_time;
            next.cause = event.cause;
            next.state_sequence = event.sequence;
        }
        if previous.responsible_party_id != current.responsible_party_id {
            next.responsible_since_time = event.effective_time;
        }
        let ended = previous.state() == FlagState::Flagged && current.state() != FlagState::Flagged;
        if event.choice.is_some() || ended {
            next.reviews.clear();
        }
        if event.review_reason != 0 {
            next.reviews.push(event.review_reason);
        }
        next.state = current.state;
        next.covered_device_ids = current.covered_device_ids;
        next.communications_hub_id = current.communications_hub_id;
        next.csp_id = current.csp_id;
        next.responsible_party_id = current.responsible_party_id;
        next.last_sequence = event.sequence;
        next.etag = event.sequence.to_string();
        next.registration_position = event.registration_position.clone();
        entry = Some(next);
    }
    entry
}

/// Each event continues where the one before it ended, and only those causes change the state that
/// say so.
fn check(log: &[wire::FlagEvent]) {
    for pair in log.windows(2) {
        assert_eq!(pair[0].current, pair[1].previous);
        assert!(pair[0].recorded_time.unwrap().seconds < pair[1].recorded_time.unwrap().seconds);
    }
    for event in log {
        let state = |facts: &Option<wire::FlagFacts>| facts.as_ref().unwrap().state();
        let change = (state(&event.previous), state(&event.current));
        let expected = match event.cause() {
            Cause::FlagAdded => (FlagState::NotFlagged, FlagState::Flagged),
            Cause::FlagRemoved | Cause::TenancyRemoved | Cause::DeviceEnded => {
                (FlagState::Flagged, FlagState::NotFlagged)
            }
            Cause::TenancyKept => (FlagState::Flagged, FlagState::Flagged),
            Cause::ReviewNeeded if event.review_reason() != ReviewReason::BackdatedRegistration => {
                (FlagState::Flagged, FlagState::Flagged)
            }
            Cause::ReviewNeeded
            | Cause::PreferenceRecorded
            | Cause::SupplierChanged
            | Cause::HubReplaced
            | Cause::CoverageChanged => (change.0, change.0),
            Cause::Unspecified => panic!("an event without a cause"),
        };
        assert_eq!(change, expected, "{:?}", event.cause());
    }
}

proptest! {
    #[test]
    fn the_entry_is_the_fold_of_its_events(steps in prop::collection::vec(step(), 0..40)) {
        let mut world = World { facts: gas_facts(), known: 1, entry: None, log: Vec::new() };
        for (step, followed) in steps {
            let before = world.log.clone();
            world.take(step);
            if followed {
                world.follow();
            }
            prop_assert!(world.log.starts_with(&before), "history is only added to");
        }
        check(&world.log);
        prop_assert_eq!(world.entry.as_ref().map(entry), fold(&world.log));

        // At last the follower has seen everything, and so has the entry.
        world.follow();
        check(&world.log);
        if let Some(entry) = &world.entry {
            let flagged = entry.standing.flagged;
            prop_assert_eq!(&entry.standing, &world.facts.standing(flagged));
            prop_assert!(!flagged || world.facts.smi_status == SmiStatus::Commissioned);
        }
    }
}
