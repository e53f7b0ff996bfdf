//! What does a snapshot of each log hold?

use mesh_api::common::v1::{FollowStart, follow_start::Start};
use mesh_api::flag_registry::v1::FlagState;
use mesh_api::registration::v1::DeviceState;

use super::super::calls::{Answer, Reply, Snapshot};
use super::{Log, Reference};

impl Reference {
    /// All parties.
    pub(super) fn party_snapshot(&self, start: Option<&FollowStart>) -> Answer {
        let at = position(&self.parties, start);
        Ok(Reply::PartySnapshot(Snapshot {
            items: self.parties.states[at].values().cloned().collect(),
            position: self.parties.position(at),
        }))
    }

    /// All Devices, with who was responsible for them when the last event was recorded.
    pub(super) fn device_snapshot(&self, start: Option<&FollowStart>) -> Answer {
        let at = position(&self.devices, start);
        let inventory = &self.devices.states[at];
        let items = inventory.devices.values().map(|device| {
            let recorded = self.devices.times[at - 1];
            let authority = inventory.authority(&device.device_id, recorded);
            let hub = authority.communications_hub.unwrap_or_default();
            DeviceState {
                device: Some(device.clone()),
                csp_id: hub.csp_id,
                responsible_party_id: authority.responsible_party_id,
            }
        });
        Ok(Reply::DeviceSnapshot(Snapshot {
            items: items.collect(),
            position: self.devices.position(at),
        }))
    }

    /// What is flagged.
    pub(super) fn flag_snapshot(&self, start: Option<&FollowStart>) -> Answer {
        let at = position(&self.flags, start);
        let entries = self.flags.states[at].values();
        let flagged = entries.filter(|entry| entry.state() == FlagState::Flagged);
        Ok(Reply::FlagSnapshot(Snapshot {
            items: flagged.cloned().collect(),
            position: self.flags.position(at),
        }))
    }
}

/// The position that is asked for, or the last one.
fn position<E, S: Clone + Default>(log: &Log<E, S>, start: Option<&FollowStart>) -> usize {
    let asked = match start.and_then(|start| start.start.as_ref()) {
        Some(Start::Snapshot(snapshot)) => snapshot.position.as_ref(),
        other => panic!("{other:?} asks for no snapshot"),
    };
    let asked = asked.map(|position| usize::try_from(position.sequence).unwrap());
    asked.unwrap_or(log.events.len())
}
