//! Who is the Responsible Supplier of a Device: the question, and where it is asked.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use mesh_api::convert::{position_from_wire, timestamp_from_wire};
use mesh_api::registration::v1 as wire;
use mesh_types::{DeviceId, PartyId, Position, Timestamp};

/// Registration's answer about one Device, read once.
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    device: DeviceId,
    responsible: Option<PartyId>,
    responsible_may_act: bool,
    facts: wire::Authority,
    position: Position,
    holds_until: Timestamp,
    lease_ends: Option<Instant>,
}

/// The answer is not well formed: a defect of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authority answer is not well formed")]
pub struct MalformedAuthority;

impl Authority {
    /// Reads an answer that shows `position`.
    pub fn from_wire(
        facts: wire::Authority,
        position: &mesh_api::common::v1::Position,
    ) -> Result<Self, MalformedAuthority> {
        let responsible = match facts.responsible_party_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| MalformedAuthority)?),
        };
        let holds_until = match &facts.authority_end_time {
            None => Timestamp::FOREVER,
            Some(end) => timestamp_from_wire(end).map_err(|_| MalformedAuthority)?,
        };
        Ok(Self {
            device: facts.device_id.parse().map_err(|_| MalformedAuthority)?,
            responsible,
            responsible_may_act: facts.responsible_party_status() == wire::PartyStatus::Active,
            position: position_from_wire(position).map_err(|_| MalformedAuthority)?,
            holds_until,
            lease_ends: None,
            facts,
        })
    }

    /// The same with a lease that registration gave to a question sent at `sent`: a write may rest on
    /// the answer.
    #[must_use]
    pub fn leased(self, sent: Instant, lease: Duration) -> Self {
        Self {
            lease_ends: sent.checked_add(lease),
            ..self
        }
    }

    /// The Device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Its Responsible Supplier.
    #[must_use]
    pub const fn responsible(&self) -> Option<&PartyId> {
        self.responsible.as_ref()
    }

    /// Whether `party` is the Responsible Supplier, and active where registration looked.
    #[must_use]
    pub fn admits(&self, party: &PartyId) -> bool {
        self.responsible_may_act && self.responsible.as_ref() == Some(party)
    }

    /// The Device, its hub and the registration behind the answer.
    #[must_use]
    pub const fn facts(&self) -> &wire::Authority {
        &self.facts
    }

    /// The position in the log `devices` that the answer shows.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The instant from which registration may tell others that the Device is no longer this supplier's:
    /// no write that rests on the answer commits later. `None`: none may rest on it.
    #[must_use]
    pub const fn lease_ends(&self) -> Option<Instant> {
        self.lease_ends
    }

    /// Until when the answer holds if nothing new is recorded.
    #[must_use]
    pub const fn holds_until(&self) -> Timestamp {
        self.holds_until
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Registration does not answer: the call may be tried again.
    #[error("registration does not answer")]
    Unreachable,
    /// Registration answered what cannot be right. Logged where it was found.
    #[error("registration's answer makes no sense")]
    Broken,
}

/// Where a chain asks for authority: at registration, or within registration at its own store.
#[async_trait]
pub trait AuthoritySource: Send + Sync + 'static {
    /// The answers for `devices`, in order and at one position that is not before `at_least`: facts
    /// where `party` is responsible. Of another party's Device and of one that does not exist the
    /// answer is the same and takes the same work, so that who may not know cannot time it.
    async fn authorities(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError>;

    /// The answers for `devices`, in order, that writes of `party` are to rest on: with a lease where
    /// `party` is responsible and may act. While registration can give none, it is as good as out of reach. Only
    /// registration gives leases, and none to itself.
    async fn leased(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let _ = (party, devices, at_least);
        tracing::error!("a lease is asked for where none is given");
        Err(AuthorityError::Broken)
    }

    /// Whether the service's own followed state has `party` as the supplier of the Device. Asked for
    /// reads only, and only while registration does not answer; takes the same work for every Device
    /// of which the answer is no.
    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool {
        let _ = (party, device);
        false
    }
}
