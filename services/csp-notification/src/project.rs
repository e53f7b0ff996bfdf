//! Which CSPs are told what of an event of the log `flags`?
//!
//! The answer rests on the flag's facts before and after the event, so that what a CSP was told in
//! all always adds up to the flagged Devices on its hubs. The event's cause only names the reason.
//! What the consumer or the supplier said is not read at all, so it cannot get out.

use mesh_api::convert::timestamp_from_wire;
use mesh_api::csp_notification::v1::CauseClass;
use mesh_api::flag_registry::v1::{Cause, FlagEvent, FlagFacts, FlagState};
use mesh_types::{CspId, DeviceId, Sequence, Timestamp};

/// One thing that one CSP is told of one Device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who is told.
    pub csp: CspId,
    /// The Device.
    pub device: DeviceId,
    /// What it is, as the contract numbers it; a type that this build does not know goes through.
    pub device_type: i32,
    /// The other Devices that the flag covers, or covered while it was set.
    pub covered: Vec<DeviceId>,
    /// The hub that the Device is on, or was on.
    pub hub: DeviceId,
    /// Whether the CSP was told before that communications are reduced.
    pub was_reduced: bool,
    /// Whether they are now.
    pub is_reduced: bool,
    /// When it became true.
    pub effective_time: Timestamp,
    /// Why.
    pub cause: CauseClass,
}

/// A Device as one CSP knows it while its communications are reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduced {
    /// What it is.
    pub device_type: i32,
    /// The other Devices that the flag covers.
    pub covered: Vec<DeviceId>,
    /// The hub that it is on.
    pub hub: DeviceId,
    /// Since when it is reduced on the CSP's hubs.
    pub since: Timestamp,
    /// The event of the CSP's log that said so last.
    pub sequence: Sequence,
}

/// An event of `flags` that cannot be right: a defect of the log's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// What an event of `flags` means to CSPs: nothing, one of them told, or two when a flagged Device
/// moves from one to the other, the one that it left first.
pub fn project(event: &FlagEvent) -> Result<Vec<Told>, Malformed> {
    let before = Side::read(event.previous.as_ref())?;
    let after = Side::read(event.current.as_ref())?;
    let effective = event.effective_time.as_ref();
    let effective = effective.and_then(|at| timestamp_from_wire(at).ok());
    let about = About {
        device: device(&event.device_id)?,
        device_type: event.device_type,
        effective_time: effective.ok_or(Malformed("the effective time is missing"))?,
    };
    Ok(match (before.place, after.place) {
        (None, None) => vec![],
        // Flagged before as well, on a hub of nobody's: then it only arrived.
        (None, Some(to)) if before.flagged => vec![about.begins(to, CauseClass::Arrived)],
        (None, Some(to)) => vec![about.begins(to, CauseClass::Set)],
        (Some(from), None) if after.flagged => vec![about.ends(from, CauseClass::Left)],
        (Some(from), None) if event.cause() == Cause::DeviceEnded => {
            vec![about.ends(from, CauseClass::DeviceEnded)]
        }
        (Some(from), None) => vec![about.ends(from, CauseClass::Lifted)],
        (Some(from), Some(to)) if from.csp != to.csp => vec![
            about.ends(from, CauseClass::Left),
            about.begins(to, CauseClass::Arrived),
        ],
        (Some(from), Some(to)) if from.hub != to.hub => {
            vec![about.goes_on(to, CauseClass::Arrived)]
        }
        (Some(from), Some(to)) if from.covered != to.covered => {
            vec![about.goes_on(to, CauseClass::CoverageChanged)]
        }
        (Some(_), Some(_)) => vec![],
    })
}

impl Reduced {
    /// What the CSP knows of the Device once event `sequence` of its log has told it `told`.
    #[must_use]
    pub fn after(before: Option<&Self>, told: &Told, sequence: Sequence) -> Option<Self> {
        told.is_reduced.then(|| Self {
            device_type: told.device_type,
            covered: told.covered.clone(),
            hub: told.hub,
            since: match before {
                // A correction says since when by itself.
                Some(before) if told.cause != CauseClass::Resync => before.since,
                _ => told.effective_time,
            },
            sequence,
        })
    }
}

/// The flag before or after an event.
struct Side {
    flagged: bool,
    /// Where a flagged Device is, if its hub is some CSP's.
    place: Option<Place>,
}

/// On whose hubs a flagged Device is, and what its flag covers besides.
pub(crate) struct Place {
    pub(crate) csp: CspId,
    pub(crate) hub: DeviceId,
    /// In their order.
    pub(crate) covered: Vec<DeviceId>,
}

impl Side {
    fn read(facts: Option<&FlagFacts>) -> Result<Self, Malformed> {
        let facts = facts.ok_or(Malformed("the facts are missing"))?;
        let flagged = match facts.state() {
            FlagState::NotFlagged => false,
            FlagState::Flagged => true,
            FlagState::Unspecified => return Err(Malformed("the state is not one of the flag's")),
        };
        let place = if flagged && !facts.csp_id.is_empty() {
            let covered = &facts.covered_device_ids;
            Some(Place::read(
                &facts.csp_id,
                &facts.communications_hub_id,
                covered,
            )?)
        } else {
            None
        };
        Ok(Self { flagged, place })
    }
}

impl Place {
    pub(crate) fn read(csp: &str, hub: &str, covered: &[String]) -> Result<Self, Malformed> {
        let covered = covered.iter().map(|id| device(id));
        let mut covered = covered.collect::<Result<Vec<_>, _>>()?;
        covered.sort_unstable();
        let csp = csp.parse();
        Ok(Self {
            csp: csp.map_err(|_| Malformed("the CSP's name is malformed"))?,
            hub: device(hub)?,
            covered,
        })
    }
}

/// What everybody is told alike.
struct About {
    device: DeviceId,
    device_type: i32,
    effective_time: Timestamp,
}

impl About {
    fn begins(&self, at: Place, cause: CauseClass) -> Told {
        self.told(at, (false, true), cause)
    }

    fn goes_on(&self, at: Place, cause: CauseClass) -> Told {
        self.told(at, (true, true), cause)
    }

    fn ends(&self, at: Place, cause: CauseClass) -> Told {
        self.told(at, (true, false), cause)
    }

    fn told(&self, at: Place, (was_reduced, is_reduced): (bool, bool), cause: CauseClass) -> Told {
        Told {
            csp: at.csp,
            device: self.device,
            device_type: self.device_type,
            covered: at.covered,
            hub: at.hub,
            was_reduced,
            is_reduced,
            effective_time: self.effective_time,
            cause,
        }
    }
}

pub(crate) fn device(text: &str) -> Result<DeviceId, Malformed> {
    text.parse()
        .map_err(|_| Malformed("a Device ID is not an EUI-64"))
}

#[cfg(test)]
mod tests;
