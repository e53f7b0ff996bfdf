//! How much may a supplier repeat? Every use is remembered, and those of the last day are counted.

use mesh_api::flag_registry::v1::{FlagEntry, FlagState};
use mesh_types::Timestamp;

use super::super::cast::{DEVICE_QUOTA, HOUR, SUPPLIER_QUOTA};
use super::Reference;

/// What a supplier did that counts.
pub(super) struct Use {
    spends: Spends,
    at: Timestamp,
    party: String,
    device: String,
    /// Its event.
    sequence: u64,
}

/// What counts: each has quotas of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spends {
    Lifting,
    Repeat,
}

impl Spends {
    /// Of a wish that makes the flag of an entry `flagged` or not: setting a flag and answering a prompt
    /// count for nothing.
    pub(super) fn of(before: &FlagEntry, flagged: bool) -> Option<Self> {
        match (before.state() == FlagState::Flagged, flagged) {
            (true, false) => Some(Self::Lifting),
            (false, true) => None,
            _ => before.reviews.is_empty().then_some(Self::Repeat),
        }
    }
}

impl Reference {
    /// Whether a supplier may do it once more, to this Device and at all. Hours count as a whole; what it
    /// did to the Device before somebody else was responsible is forgotten.
    pub(super) fn has_room(&self, spends: Spends, party: &str, device: &str) -> bool {
        let hour = |at: Timestamp| at.micros().div_euclid(HOUR);
        let came = self.supplier_came(device);
        let its_own = |one: &&Use| {
            one.spends == spends && one.party == party && hour(one.at) + 24 >= hour(self.now)
        };
        let of_device = |one: &&Use| one.device == device && one.sequence > came;
        let uses = || self.uses.iter().filter(its_own);
        uses().filter(of_device).count() < DEVICE_QUOTA as usize
            && uses().count() < SUPPLIER_QUOTA as usize
    }

    pub(super) fn spend(&mut self, spends: Spends, party: &str, device: &str) {
        self.uses.push(Use {
            spends,
            at: self.now,
            party: party.to_owned(),
            device: device.to_owned(),
            sequence: self.flags.head().sequence,
        });
    }

    /// The event with which the present supplier of a Device came; 0 if it was there from the first.
    fn supplier_came(&self, device: &str) -> u64 {
        let mut events = self.flags.events.iter().rev();
        let party = |facts: &Option<mesh_api::flag_registry::v1::FlagFacts>| {
            facts.as_ref().unwrap().responsible_party_id.clone()
        };
        let came = events.find(|event| {
            event.device_id == device && party(&event.previous) != party(&event.current)
        });
        came.map_or(0, |event| event.sequence)
    }
}
