//! What held of a Device's flag at an instant, by the events that were there at a position?
//!
//! A change of supplier that is recorded late became true before events that stand earlier in the
//! log, and its event carries everything as it stood when it was recorded. So each part is judged by
//! itself: by the last event in the order of the log that changed it and became true at the instant
//! or before (see `docs/adr/2026-11-24-a-flag-at-an-instant-is-told-part-by-part.md`).

use mesh_api::flag_registry::v1::Cause;
use mesh_types::{CspId, DeviceId, PartyId, Sequence, Timestamp};

use crate::flag::Standing;

/// An event of a Device's history, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub sequence: Sequence,
    /// When what it says became true.
    pub effective: Timestamp,
    /// What happened.
    pub cause: Cause,
    /// What held before.
    pub previous: Standing,
    /// What held after.
    pub current: Standing,
}

/// Why and since when the flag has its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether it is set.
    pub flagged: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The event that says so.
    pub sequence: Sequence,
}

/// What held at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    at: Timestamp,
    begun: bool,
    /// The flag; `None` before the first event.
    pub state: Option<State>,
    /// The Responsible Supplier.
    pub supplier: Option<PartyId>,
    /// Since when it was responsible; `None` before the first event.
    pub responsible_since: Option<Timestamp>,
    /// The hub that the Device was on.
    pub hub: Option<DeviceId>,
    /// The CSP of that hub.
    pub csp: Option<CspId>,
    /// The other Devices that the flag covered.
    pub covered: Vec<DeviceId>,
}

impl Past {
    /// What is known of `at` before any event was taken.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self {
            at,
            begun: false,
            state: None,
            supplier: None,
            responsible_since: None,
            hub: None,
            csp: None,
            covered: Vec::new(),
        }
    }

    /// Takes the next event of the history, from the first on. The first one tells of every part.
    pub fn take(&mut self, event: Told) {
        let first = !std::mem::replace(&mut self.begun, true);
        if event.effective > self.at {
            return;
        }
        let (before, now) = (event.previous, event.current);
        if first || before.flagged != now.flagged {
            self.state = Some(State {
                flagged: now.flagged,
                since: event.effective,
                cause: event.cause,
                sequence: event.sequence,
            });
        }
        if first || before.supplier != now.supplier {
            self.supplier = now.supplier;
            self.responsible_since = Some(event.effective);
        }
        if first || (before.hub, &before.csp) != (now.hub, &now.csp) {
            (self.hub, self.csp) = (now.hub, now.csp);
        }
        if first || before.covered != now.covered {
            self.covered = now.covered;
        }
    }
}
