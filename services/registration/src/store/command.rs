//! What can the writer be asked to do, and on whose behalf?

use std::collections::BTreeSet;

use mesh_api::common::v1::Actor;
use mesh_authz::Authorized;
use mesh_store::{Fingerprint, RequestKey};
use mesh_types::{DeviceId, EntityId, Interval, Mpxn, PartyId, Position, Timestamp};

use crate::device::{Device, DeviceType};
use crate::error::Error;
use crate::leases::Taken;
use crate::party::{Party, Reason, Status};

/// What makes a retried request the same one.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Caller, RPC and request id.
    pub(crate) key: RequestKey,
    /// Of the parsed value.
    pub(crate) fingerprint: Fingerprint,
}

/// Whose change it is, as events record it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Who made it; nobody if the passing of time did.
    pub(crate) actor: Option<Actor>,
    /// The W3C `traceparent` of the request; empty if there was none.
    pub(crate) trace_parent: String,
}

/// One request to write.
#[derive(Debug)]
pub(crate) enum Command {
    /// Records a party.
    PutParty {
        /// The request.
        request: Request,
        /// Whose change it is.
        origin: Origin,
        /// The party; its status is not looked at.
        party: Party,
        /// What the caller expects to replace.
        etag: Option<u64>,
    },
    /// Changes a party's status.
    SetPartyStatus {
        /// The request.
        request: Request,
        /// Whose change it is.
        origin: Origin,
        /// The party.
        party: PartyId,
        /// The new status.
        status: Status,
        /// Why.
        reason: Reason,
    },
    /// Records a Device.
    PutDevice {
        /// The request.
        request: Request,
        /// Whose change it is.
        origin: Origin,
        /// The Device and why it may be written.
        put: PutDevice,
        /// What the caller expects to replace.
        etag: Option<u64>,
    },
    /// Registers a supplier from an instant on.
    ChangeSupplier {
        /// The request.
        request: Request,
        /// Whose change it is.
        origin: Origin,
        /// The metering point.
        mpxn: Mpxn,
        /// The gaining supplier.
        party: PartyId,
        /// From when on; `None` means now.
        start: Option<Timestamp>,
    },
    /// Withdraws a registration that has not begun.
    WithdrawRegistration {
        /// The request.
        request: Request,
        /// Whose change it is.
        origin: Origin,
        /// The metering point.
        mpxn: Mpxn,
        /// The supplier that is registered.
        party: PartyId,
        /// When the registration begins.
        start: Timestamp,
    },
    /// Loads rows in their order, each with a result of its own.
    Import {
        /// Whose change it is.
        origin: Origin,
        /// The rows.
        rows: Vec<Row>,
    },
    /// Only logs what has taken effect, as every command does first.
    Settle,
}

/// A Device to record, and why that is permitted.
#[derive(Debug)]
pub(crate) struct PutDevice {
    authorized: Authorized,
    device: Device,
}

/// A row of a bulk load.
#[derive(Debug)]
pub(crate) enum Row {
    /// A party.
    Party(Party),
    /// A Device.
    Device(PutDevice),
    /// A registration with its interval.
    Registration {
        /// The metering point.
        mpxn: Mpxn,
        /// The supplier.
        party: PartyId,
        /// When.
        interval: Interval,
    },
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is recorded now.
    Recorded,
    /// It was recorded just so.
    Unchanged,
}

/// What an accepted command is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The encoded response, as it is kept for whoever asks again.
    Kept {
        /// The response, which says that it is not a replay.
        response: Vec<u8>,
        /// Whether it was given before.
        replayed: bool,
    },
    /// One result for each row, and the end of the log `devices`.
    Rows(Vec<Result<Outcome, Error>>, Position),
    /// So many instants were dealt with.
    Settled(usize),
}

/// What the writer hands out for a command.
#[derive(Debug)]
pub(crate) struct Decided {
    /// What it is answered.
    pub(crate) answer: Answer,
    /// The answer waits for the leases of these.
    pub(crate) taken: Taken,
}

impl PutDevice {
    /// The Device is the one that the permit names, whatever `device` says.
    #[must_use]
    pub(crate) fn new(authorized: Authorized, device: Device) -> Self {
        let id = match &authorized {
            Authorized::Caller(permit) => permit.device(),
            Authorized::Followed(_) | Authorized::Scheduled(_) => device.id,
        };
        Self {
            authorized,
            device: Device { id, ..device },
        }
    }

    /// The Device.
    #[must_use]
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Until when it may be written.
    #[must_use]
    pub(crate) fn expires(&self) -> Timestamp {
        match &self.authorized {
            Authorized::Caller(permit) => permit.expires(),
            Authorized::Followed(_) | Authorized::Scheduled(_) => Timestamp::FOREVER,
        }
    }
}

impl Command {
    /// The request whose answer is kept.
    pub(super) fn request(&self) -> Option<&Request> {
        match self {
            Self::PutParty { request, .. }
            | Self::SetPartyStatus { request, .. }
            | Self::PutDevice { request, .. }
            | Self::ChangeSupplier { request, .. }
            | Self::WithdrawRegistration { request, .. } => Some(request),
            Self::Import { .. } | Self::Settle => None,
        }
    }

    /// How many records it names.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Import { rows, .. } => rows.len().max(1),
            _ => 1,
        }
    }

    /// Notes the records that must be read before it can be decided.
    pub(super) fn note(&self, needs: &mut Needs) {
        match self {
            Self::PutParty { party, .. } => needs.party(party),
            Self::SetPartyStatus { party, .. } => {
                needs.parties.insert(party.clone());
            }
            Self::PutDevice { put, .. } => needs.device(put.device()),
            Self::ChangeSupplier { mpxn, party, .. } => needs.registration(*mpxn, party),
            Self::WithdrawRegistration { mpxn, .. } => {
                needs.own_ends.insert(*mpxn);
                needs.point(*mpxn);
            }
            Self::Import { rows, .. } => rows.iter().for_each(|row| row.note(needs)),
            Self::Settle => {}
        }
    }
}

impl Row {
    /// Notes the records that must be read before it can be judged.
    pub(super) fn note(&self, needs: &mut Needs) {
        match self {
            Self::Party(party) => needs.party(party),
            Self::Device(put) => needs.device(put.device()),
            Self::Registration { mpxn, party, .. } => needs.registration(*mpxn, party),
        }
    }
}

/// The records that a transaction reads, each kind in one query.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) parties: BTreeSet<PartyId>,
    pub(super) entities: BTreeSet<EntityId>,
    pub(super) devices: BTreeSet<DeviceId>,
    /// GPFs whose meters matter.
    pub(super) gpfs: BTreeSet<DeviceId>,
    /// MPxNs whose registrations matter.
    pub(super) supplies: BTreeSet<Mpxn>,
    /// MPxNs of which it matters how their registrations were first recorded.
    pub(super) own_ends: BTreeSet<Mpxn>,
    /// MPxNs whose meters matter.
    pub(super) points: BTreeSet<Mpxn>,
}

impl Needs {
    fn party(&mut self, party: &Party) {
        self.parties.insert(party.id.clone());
        self.entities.extend(party.identities.keys());
    }

    fn device(&mut self, device: &Device) {
        self.devices.insert(device.id);
        self.devices.extend(device.hub);
        self.devices.extend(device.gpf);
        self.gpfs.extend(device.gpf);
        if device.device_type == DeviceType::Gpf {
            self.gpfs.insert(device.id);
        }
        self.supplies.extend(device.decisive_mpxn());
    }

    fn registration(&mut self, mpxn: Mpxn, party: &PartyId) {
        self.parties.insert(party.clone());
        self.point(mpxn);
    }

    pub(super) fn point(&mut self, mpxn: Mpxn) {
        self.supplies.insert(mpxn);
        self.points.insert(mpxn);
    }
}
