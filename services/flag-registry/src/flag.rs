//! What is the flag of a Device, and what does an event make of it?
//!
//! An entry is the fold of the events about its Device: [`Entry::after`] is the only way in which one
//! comes about. Only what is spent is counted besides, because it goes by the clock, and events by the
//! log's time.

use mesh_api::common::v1::Actor;
use mesh_api::flag_registry::v1::{Cause, ReviewReason};
use mesh_types::{CspId, DeviceId, PartyId, Position, Sequence, Timestamp};

use crate::preference::Given;
use crate::quota::Spent;

/// The kinds of Device that can carry the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meter {
    /// Electricity.
    Esme,
    /// Gas. Its flag covers its GPF.
    Gsme,
}

/// What a flag rests on: in an event it stands before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether communications are reduced.
    pub flagged: bool,
    /// The other Devices that a flag on this one covers, whether it is set or not.
    pub covered: Vec<DeviceId>,
    /// The hub that the Device is on.
    pub hub: Option<DeviceId>,
    /// The CSP of that hub.
    pub csp: Option<CspId>,
    /// The Responsible Supplier.
    pub supplier: Option<PartyId>,
}

/// The flag of a Device that has a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The Device.
    pub device: DeviceId,
    /// What it is.
    pub meter: Meter,
    /// The flag and what it rests on.
    pub standing: Standing,
    /// Since when the supplier is responsible, as far as the history knows.
    pub responsible_since: Timestamp,
    /// Since when the flag has its state.
    pub since: Timestamp,
    /// Why it has that state.
    pub cause: Cause,
    /// The event that gave it that state.
    pub state_sequence: Sequence,
    /// When a supplier last said what its consumer wants, whether that changed the state or not.
    pub chosen: Timestamp,
    /// The last event about the Device.
    pub last_sequence: Sequence,
    /// What the supplier has spent of the Device's quotas, by what the clock showed then.
    pub spent: Spent,
    /// Prompts that no later choice has answered, oldest first.
    pub reviews: Vec<ReviewReason>,
    /// The position in the log `devices` up to which facts are taken into account.
    pub rests_on: Position,
}

/// What is to happen to an entry: the outcome of a decision, or what a followed event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub cause: Cause,
    /// What holds afterwards.
    pub current: Standing,
    /// When it became true; `None` if it does when it is recorded.
    pub effective: Option<Timestamp>,
    /// What the supplier said, of changes that a supplier makes.
    pub given: Option<Given>,
    /// What a review is asked for.
    pub review: Option<ReviewReason>,
}

/// Who made a change, and on what authority.
#[derive(Debug, Clone, PartialEq)]
pub struct By {
    /// The caller.
    pub actor: Actor,
    /// The registration that its authority rests on; empty if it was permitted by its role.
    pub registration_id: String,
    /// Its request.
    pub request_id: String,
}

/// An event before it has its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The Device.
    pub device: DeviceId,
    /// What it is.
    pub meter: Meter,
    /// What held before. A Device without a history stood as it does now, without the flag.
    pub previous: Standing,
    /// What happens.
    pub change: Change,
    /// Who does it; `None` if a followed log does.
    pub by: Option<By>,
    /// The trace context of the request that caused it; empty if there is none.
    pub trace_parent: String,
    /// The position in the log `devices` that it rests on.
    pub rests_on: Position,
}

/// What an event does to an entry, and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The Device.
    pub device: DeviceId,
    /// What it is.
    pub meter: Meter,
    /// What happened.
    pub cause: Cause,
    /// What held before.
    pub previous: Standing,
    /// What holds afterwards.
    pub current: Standing,
    /// When it became true.
    pub effective: Timestamp,
    /// Whether a supplier said what its consumer wants.
    pub is_choice: bool,
    /// What a review is asked for.
    pub review: Option<ReviewReason>,
    /// The position in the log `devices` that it rests on.
    pub rests_on: Position,
    /// Where it stands.
    pub place: Place,
}

/// An event's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub sequence: Sequence,
    /// When it is recorded.
    pub recorded_time: Timestamp,
}

impl Change {
    /// A change that only `cause` and the facts tell.
    pub(crate) fn of_facts(cause: Cause, current: Standing, effective: Timestamp) -> Self {
        Self {
            cause,
            current,
            effective: Some(effective),
            given: None,
            review: None,
        }
    }
}

impl Standing {
    /// The same with the flag set or lifted.
    #[must_use]
    pub(crate) fn with_flag(&self, flagged: bool) -> Self {
        Self {
            flagged,
            ..self.clone()
        }
    }
}

impl Draft {
    /// What the event does once it has its place.
    #[must_use]
    pub fn happened(&self, place: Place) -> Happened {
        Happened {
            device: self.device,
            meter: self.meter,
            cause: self.change.cause,
            previous: self.previous.clone(),
            current: self.change.current.clone(),
            effective: self.effective(place),
            is_choice: self.change.given.is_some(),
            review: self.change.review,
            rests_on: self.rests_on.clone(),
            place,
        }
    }

    /// When what the event says became true.
    #[must_use]
    pub fn effective(&self, place: Place) -> Timestamp {
        self.change.effective.unwrap_or(place.recorded_time)
    }
}

impl Entry {
    /// What `event` makes of the entry, or of no entry.
    #[must_use]
    pub fn after(before: Option<&Self>, event: Happened) -> Self {
        let Happened {
            effective,
            current,
            place,
            ..
        } = event;
        let mut entry = before.cloned().unwrap_or_else(|| Self {
            device: event.device,
            meter: event.meter,
            standing: event.previous,
            responsible_since: effective,
            since: effective,
            cause: event.cause,
            state_sequence: place.sequence,
            chosen: place.recorded_time,
            last_sequence: place.sequence,
            spent: Spent::default(),
            reviews: Vec::new(),
            rests_on: event.rests_on.clone(),
        });
        if current.flagged != entry.standing.flagged {
            entry.since = effective;
            entry.cause = event.cause;
            entry.state_sequence = place.sequence;
        }
        if current.supplier != entry.standing.supplier {
            entry.responsible_since = effective;
            // Nobody is kept from anything by what an earlier supplier did.
            entry.spent = Spent::default();
        }
        let ended = entry.standing.flagged && !current.flagged;
        if event.is_choice || ended {
            entry.reviews.clear();
        }
        if event.is_choice {
            entry.chosen = place.recorded_time;
        }
        entry.reviews.extend(event.review);
        entry.standing = current;
        entry.last_sequence = place.sequence;
        entry.rests_on = event.rests_on;
        entry
    }

    /// Changes with every event about the Device.
    #[must_use]
    pub fn etag(&self) -> String {
        self.last_sequence.to_string()
    }

    /// Whether a flag on the entry's Device means `device` too.
    #[must_use]
    pub fn covers(&self, device: DeviceId) -> bool {
        self.device == device || self.standing.covered.contains(&device)
    }

    /// Whether what a supplier made of the flag is called in question if another one was responsible
    /// from `effective` on: that it set, kept or confirmed the flag, or that it lifted it.
    #[must_use]
    pub fn is_questioned_by(&self, effective: Timestamp) -> bool {
        match self.cause {
            _ if self.standing.flagged => effective < self.chosen,
            Cause::FlagRemoved | Cause::TenancyRemoved => effective < self.since,
            _ => false,
        }
    }

    /// Whether facts at `position` are news to the entry. Another history of the log always is.
    #[must_use]
    pub fn is_behind(&self, position: &Position) -> bool {
        !self.rests_on.comparable(position) || self.rests_on.sequence < position.sequence
    }
}

/// The etag of a Device without a history.
pub const NO_HISTORY: &str = "0";
