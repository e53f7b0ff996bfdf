//! Who may call? Judged before anything else.

use mesh_api::common::v1::{Actor, ErrorReason};
use mesh_api::registration::v1::PartyStatus;
use tonic::Code;

use super::super::calls::{Call, Refusal, Request};
use super::super::cast::{PARTIES, SUPPLIERS};
use super::{Reference, refuse};

impl Reference {
    /// Whether the caller may make the call: active, in a role that may, and responsible for the
    /// Device or the owner of the data that it names. An internal role may make every call that is
    /// made in its name here.
    pub(super) fn admit(&self, call: &Call) -> Result<(), Refusal> {
        let Some(party) = self.parties.state().get(call.caller) else {
            return Ok(());
        };
        if party.status() != PartyStatus::Active {
            return refuse(Code::PermissionDenied, ErrorReason::PartyNotActive);
        }
        let supplier = PARTIES[..SUPPLIERS].contains(&call.caller);
        if !supplier && !matches!(call.request, Request::Party(_)) {
            return refuse(Code::PermissionDenied, ErrorReason::RoleNotPermitted);
        }
        let own_data = match &call.request {
            Request::Party(asked) => asked.party_id == call.caller,
            Request::List(asked) => asked.party_id == call.caller,
            _ => true,
        };
        if !own_data {
            return refuse(Code::PermissionDenied, ErrorReason::NotOwnData);
        }
        let device = match &call.request {
            Request::Device(asked) => &asked.device_id,
            Request::Add(asked) => &asked.device_id,
            Request::Remove(asked) => &asked.device_id,
            Request::Tenancy(asked) => &asked.device_id,
            Request::Flag(asked) => &asked.device_id,
            Request::History(asked) => &asked.device_id,
            _ => return Ok(()),
        };
        self.admit_to(call.caller, device)
    }

    /// Whether a supplier is responsible for a Device now.
    pub(super) fn admit_to(&self, caller: &str, device: &str) -> Result<(), Refusal> {
        let internal = !self.parties.state().contains_key(caller);
        let authority = self.devices.state().authority(device, self.now);
        if internal || authority.responsible_party_id == caller {
            return Ok(());
        }
        refuse(Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
    }

    /// The caller as events name it.
    pub(super) fn actor(&self, caller: &str) -> Actor {
        match self.parties.state().get(caller) {
            Some(party) => Actor {
                party_id: caller.to_owned(),
                entity_id: party.identities[0].entity_id.clone(),
                ..Actor::default()
            },
            None => Actor {
                internal_role: caller.to_owned(),
                ..Actor::default()
            },
        }
    }
}
