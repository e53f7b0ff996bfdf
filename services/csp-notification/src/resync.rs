//! What does a CSP have to be told when the log `flags` has begun a new history?
//!
//! Events that it was told of may be lost, and others may have come in their place. What its own log
//! says is therefore compared with a snapshot of `flags`, and only the differences are told.

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::convert::timestamp_from_wire;
use mesh_api::csp_notification::v1::CauseClass;
use mesh_api::flag_registry::v1::{FlagEntry, FlagState};
use mesh_types::{CspId, DeviceId, Timestamp};

use crate::project::{Malformed, Place, Reduced, Told, device};

/// What a snapshot of `flags` says of a flagged Device on some CSP's hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flagged {
    /// What it is, as the contract numbers it.
    pub device_type: i32,
    /// The other Devices that the flag covers, in their order.
    pub covered: Vec<DeviceId>,
    /// The hub that the Device is on.
    pub hub: DeviceId,
    /// Since when the flag is set.
    pub since: Timestamp,
}

/// The flagged Devices of a snapshot by CSP, without those that are on nobody's hubs.
#[derive(Debug, Default)]
pub struct FlagsByCsp(BTreeMap<CspId, BTreeMap<DeviceId, Flagged>>);

impl FlagsByCsp {
    /// Adds an entry of the snapshot.
    pub fn add(&mut self, entry: &FlagEntry) -> Result<(), Malformed> {
        if entry.state() != FlagState::Flagged {
            return Err(Malformed("a snapshot holds what is flagged"));
        }
        if entry.csp_id.is_empty() {
            return Ok(());
        }
        let (hub, covered) = (&entry.communications_hub_id, &entry.covered_device_ids);
        let Place { csp, hub, covered } = Place::read(&entry.csp_id, hub, covered)?;
        let since = entry.since_time.as_ref();
        let since = since.and_then(|at| timestamp_from_wire(at).ok());
        let flagged = Flagged {
            device_type: entry.device_type,
            covered,
            hub,
            since: since.ok_or(Malformed("since when a flag is set is missing"))?,
        };
        let devices = self.0.entry(csp).or_default();
        match devices.insert(device(&entry.device_id)?, flagged) {
            None => Ok(()),
            Some(_) => Err(Malformed("a Device comes twice in a snapshot")),
        }
    }

    /// The CSPs that have a flagged Device on their hubs.
    pub fn csps(&self) -> impl Iterator<Item = &CspId> {
        self.0.keys()
    }

    /// The flagged Devices on the hubs of `csp`.
    pub(crate) fn of(&self, csp: &CspId) -> Option<&BTreeMap<DeviceId, Flagged>> {
        self.0.get(csp)
    }
}

/// What `csp` is told so that what it knows, `known`, becomes what is `flagged`, in the order of the
/// Devices. `now` is when the difference was found. Both may be the same part of a larger whole.
#[must_use]
pub fn differences(
    csp: &CspId,
    known: &BTreeMap<DeviceId, Reduced>,
    flagged: &BTreeMap<DeviceId, &Flagged>,
    now: Timestamp,
) -> Vec<Told> {
    let devices: BTreeSet<DeviceId> = known.keys().chain(flagged.keys()).copied().collect();
    let told = devices.into_iter().filter_map(|device| {
        let (known, flagged) = (known.get(&device), flagged.get(&device).copied());
        difference(csp, device, known, flagged, now)
    });
    told.collect()
}

fn difference(
    csp: &CspId,
    device: DeviceId,
    known: Option<&Reduced>,
    flagged: Option<&Flagged>,
    now: Timestamp,
) -> Option<Told> {
    let told = |device_type, covered: &[DeviceId], hub, effective_time| Told {
        csp: csp.clone(),
        device,
        device_type,
        covered: covered.to_vec(),
        hub,
        was_reduced: known.is_some(),
        is_reduced: flagged.is_some(),
        effective_time,
        cause: CauseClass::Resync,
    };
    match (known, flagged) {
        (None, None) => None,
        (Some(known), None) => Some(told(known.device_type, &known.covered, known.hub, now)),
        (Some(known), Some(flagged)) if is_known(known, flagged) => None,
        (known, Some(flagged)) => {
            // The snapshot says since when a flag is set, not since when its Device is on these hubs.
            let since = known.map_or(flagged.since, |known| known.since.max(flagged.since));
            let covered = &flagged.covered;
            Some(told(flagged.device_type, covered, flagged.hub, since))
        }
    }
}

fn is_known(known: &Reduced, flagged: &Flagged) -> bool {
    known.device_type == flagged.device_type
        && known.covered == flagged.covered
        && known.hub == flagged.hub
        && known.since >= flagged.since
}

#[cfg(test)]
mod tests;
