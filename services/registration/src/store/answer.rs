//! What is an authority answer made of, and which responses are kept for whoever asks again?

use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_types::{DeviceId, PartyId, Timestamp};
use prost::Message;

use super::read::{Context, Recorded};
use crate::device::Device;
use crate::party::{Party, Status};
use crate::supply::Registration;
use crate::wire::{Numbered, device_to_wire, registration_to_wire};

/// A response that is kept with the change that it tells of.
pub(crate) trait Asked: Message + Default {
    /// Says whether it was given before.
    fn set_replayed(&mut self, replayed: bool);
}

macro_rules! asked {
    ($($response:ty),*) => {
        $(impl Asked for $response {
            fn set_replayed(&mut self, replayed: bool) {
                self.replayed = replayed;
            }
        })*
    };
}

asked!(
    wire::PutPartyResponse,
    wire::SetPartyStatusResponse,
    wire::PutDeviceResponse,
    wire::ChangeSupplierResponse,
    wire::WithdrawRegistrationResponse
);

/// Who is responsible for one Device, with the evidence.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    id: DeviceId,
    device: Option<Recorded<Device>>,
    hub: Option<Recorded<Device>>,
    registration: Option<Registration>,
    since: Option<Timestamp>,
    secondary: Option<PartyId>,
    ends: Option<Timestamp>,
    status: Option<Status>,
}

impl Answered {
    /// The answer about a Device that is not recorded.
    #[must_use]
    pub(crate) const fn unknown(id: DeviceId) -> Self {
        Self {
            id,
            device: None,
            hub: None,
            registration: None,
            since: None,
            secondary: None,
            ends: None,
            status: None,
        }
    }

    /// The answer at an instant, without the supplier's status.
    #[must_use]
    pub(crate) fn of(device: Recorded<Device>, context: &Context, valid: Timestamp) -> Self {
        let authority = context.authority(&device.value, valid);
        Self {
            id: device.value.id,
            hub: context.hub(&device.value).cloned(),
            registration: authority.registration.cloned(),
            since: authority.since,
            secondary: authority.secondary.cloned(),
            ends: authority.ends,
            status: None,
            device: Some(device),
        }
    }

    /// The Responsible Supplier.
    #[must_use]
    pub(crate) fn party(&self) -> Option<&PartyId> {
        self.registration
            .as_ref()
            .map(|registration| &registration.party)
    }

    /// Whether there is a Responsible Supplier, and it may act.
    #[must_use]
    pub(crate) fn may_act(&self) -> bool {
        self.status == Some(Status::Active)
    }

    /// Takes the supplier's status from the parties.
    pub(crate) fn set_status(&mut self, parties: &[Recorded<Party>]) {
        let supplier = parties
            .iter()
            .find(|party| Some(&party.value.id) == self.party());
        self.status = supplier.map(|party| party.value.status);
    }

    /// The answer on the wire.
    #[must_use]
    pub(crate) fn to_wire(&self) -> wire::Authority {
        let device = |device: &Recorded<Device>| device_to_wire(&device.value, device.since);
        let text = |party: Option<&PartyId>| party.map(ToString::to_string).unwrap_or_default();
        wire::Authority {
            device_id: self.id.to_string(),
            responsible_party_id: text(self.party()),
            registration: self.registration.as_ref().map(registration_to_wire),
            device: self.device.as_ref().map(device),
            communications_hub: self.hub.as_ref().map(device),
            secondary_responsible_party_id: text(self.secondary.as_ref()),
            authority_end_time: self.ends.map(timestamp_to_wire),
            responsible_party_status: self.status.map(Numbered::number).unwrap_or_default(),
            responsible_since_time: self.since.map(timestamp_to_wire),
        }
    }
}
