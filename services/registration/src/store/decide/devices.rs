//! What do commands change about Devices?

use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_authz::Refusal;
use mesh_store::StoreError;
use mesh_types::Position;

use super::super::command::{Origin, Outcome, PutDevice};
use super::super::rows::Recorded;
use super::{Deciding, check_etag, on_wire, outcome};
use crate::device::Device;
use crate::error::Error;
use crate::wire::device_to_wire;

/// A Device as it stands after a command.
struct Put {
    device: wire::Device,
    position: Position,
    changed: bool,
}

impl Deciding<'_> {
    pub(super) fn put_device(
        &mut self,
        origin: &Origin,
        put: &PutDevice,
        etag: Option<u64>,
    ) -> Result<wire::PutDeviceResponse, Error> {
        let recorded = self.known.device(put.device().id);
        check_etag(etag, recorded.map(|recorded| recorded.since))?;
        let put = self.put_permitted(origin, put)?;
        Ok(wire::PutDeviceResponse {
            device: Some(put.device),
            replayed: false,
            position: on_wire(&put.position),
        })
    }

    pub(super) fn import_device(
        &mut self,
        origin: &Origin,
        put: &PutDevice,
    ) -> Result<Outcome, Error> {
        Ok(outcome(self.put_permitted(origin, put)?.changed))
    }

    fn put_permitted(&mut self, origin: &Origin, put: &PutDevice) -> Result<Put, Error> {
        if put.expires() <= self.now {
            return Err(Refusal::NotResponsibleSupplier.into());
        }
        let device = put.device();
        let recorded = self.known.device(device.id).cloned();
        self.known.judge_device(device)?;
        Ok(self.record_device(origin, recorded.as_ref(), device)?)
    }

    fn record_device(
        &mut self,
        origin: &Origin,
        before: Option<&Recorded<Device>>,
        device: &Device,
    ) -> Result<Put, StoreError> {
        if let Some(before) = before.filter(|before| before.value == *device) {
            // The answer to the change that made it so may have been cut off while it waited.
            self.taken.devices.insert(device.id);
            return Ok(Put {
                device: device_to_wire(device, before.since),
                position: self.devices_head()?,
                changed: false,
            });
        }
        let previous = before.map(|before| device_to_wire(&before.value, before.since));
        let hub = device.hub.and_then(|hub| self.known.device(hub));
        let csp = hub.and_then(|hub| hub.value.csp.clone());
        let responsible = self.known.responsible(device, self.now).cloned();
        let stamp = self.append(Some(origin), |sequence| {
            Change::DeviceRecorded(wire::DeviceRecorded {
                device: Some(device_to_wire(device, sequence)),
                previous,
                csp_id: csp.map(|csp| csp.to_string()).unwrap_or_default(),
                responsible_party_id: responsible.map(|id| id.to_string()).unwrap_or_default(),
            })
        })?;
        if before.is_some() {
            self.taken.devices.insert(device.id);
        }
        let since = stamp.position.sequence;
        self.changes.device(before, device.clone(), since);
        self.known.put_device(Recorded {
            value: device.clone(),
            since,
        });
        Ok(Put {
            device: device_to_wire(device, since),
            position: stamp.position,
            changed: true,
        })
    }
}
