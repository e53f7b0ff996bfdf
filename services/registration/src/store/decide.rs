//! What does a command change, given what is recorded, and what do the logs say of it?
//!
//! A refusal comes before anything is changed, so a refused command costs the others nothing.

mod devices;
mod parties;
mod registrations;

use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::registration::v1 as wire;
use mesh_store::{EventStamp, StoreError, WriteTx};
use mesh_types::{Position, Sequence, Timestamp};
use prost::Message;

use super::Logs;
use super::changes::Changes;
use super::command::{Answer, Command, Decided, Origin, Outcome, Request, Row};
use super::known::Known;
use crate::error::Error;
use crate::leases::{LEASE, Taken};
use crate::party::Status;

/// One transaction while its commands are decided.
pub(super) struct Deciding<'t> {
    tx: &'t mut WriteTx,
    logs: &'t Logs,
    /// Never before what the log `devices` has recorded.
    now: Timestamp,
    known: Known,
    changes: Changes,
    /// What the command that is being decided takes from somebody.
    taken: Taken,
}

impl<'t> Deciding<'t> {
    pub(super) fn new(tx: &'t mut WriteTx, logs: &'t Logs, now: Timestamp, known: Known) -> Self {
        Self {
            tx,
            logs,
            now,
            known,
            changes: Changes::default(),
            taken: Taken::default(),
        }
    }

    /// Writes the rows that the decisions changed.
    pub(super) async fn write(self) -> Result<(), StoreError> {
        self.changes.write(self.tx).await
    }

    /// Decides one command.
    pub(super) fn decide(&mut self, command: &Command) -> Result<Decided, Error> {
        self.taken = Taken::default();
        let answer = self.answer(command)?;
        let taken = match answer {
            // The first answer may have been cut off while it waited.
            Answer::Kept { replayed: true, .. } => self.takes(command),
            _ => std::mem::take(&mut self.taken),
        };
        Ok(Decided { answer, taken })
    }

    /// What a command may have taken when it was decided.
    fn takes(&self, command: &Command) -> Taken {
        let mut taken = Taken::default();
        match command {
            Command::ChangeSupplier { mpxn, .. } => taken.devices = self.known.devices_of(*mpxn),
            Command::PutDevice { put, .. } => {
                taken.devices.insert(put.device().id);
            }
            Command::SetPartyStatus { party, status, .. } if *status != Status::Active => {
                taken.parties.insert(party.clone());
            }
            _ => {}
        }
        taken
    }

    /// Whether something begins so soon that a lease given before could outlast its beginning.
    fn is_soon(&self, start: Timestamp) -> bool {
        start < self.now.saturating_add(LEASE)
    }

    fn answer(&mut self, command: &Command) -> Result<Answer, Error> {
        match command {
            Command::PutParty {
                request,
                origin,
                party,
                etag,
            } => self.once(request, |deciding| {
                deciding.put_party(origin, party.clone(), *etag)
            }),
            Command::SetPartyStatus {
                request,
                origin,
                party,
                status,
                reason,
            } => self.once(request, |deciding| {
                deciding.set_party_status(origin, party, *status, reason.as_str())
            }),
            Command::PutDevice {
                request,
                origin,
                put,
                etag,
            } => self.once(request, |deciding| deciding.put_device(origin, put, *etag)),
            Command::ChangeSupplier {
                request,
                origin,
                mpxn,
                party,
                start,
            } => self.once(request, |deciding| {
                deciding.change_supplier(origin, *mpxn, party, *start)
            }),
            Command::WithdrawRegistration {
                request,
                origin,
                mpxn,
                party,
                start,
            } => self.once(request, |deciding| {
                deciding.withdraw_registration(origin, *mpxn, party, *start)
            }),
            Command::Import { origin, rows } => self.import(origin, rows),
            Command::Settle => Ok(Answer::Settled(0)),
        }
    }

    /// Answers as before if the request was accepted before, and keeps the answer of a new one.
    fn once<R: Message>(
        &mut self,
        request: &Request,
        act: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<Answer, Error> {
        match self.tx.outcome(&request.key, &request.fingerprint)? {
            mesh_store::Outcome::Replay(response) => Ok(Answer::Kept {
                response,
                replayed: true,
            }),
            mesh_store::Outcome::Reused => Err(Error::RequestIdReused),
            mesh_store::Outcome::New => {
                let response = act(self)?.encode_to_vec();
                self.tx
                    .keep(&request.key, request.fingerprint, response.clone())?;
                Ok(Answer::Kept {
                    response,
                    replayed: false,
                })
            }
        }
    }

    fn import(&mut self, origin: &Origin, rows: &[Row]) -> Result<Answer, Error> {
        let mut results = Vec::with_capacity(rows.len());
        for row in rows {
            let result = match row {
                Row::Party(party) => self.import_party(origin, party.clone()),
                Row::Device(put) => self.import_device(origin, put),
                Row::Registration {
                    mpxn,
                    party,
                    interval,
                } => self.import_registration(origin, *mpxn, party, *interval),
            };
            // The store's failure is not the row's: nothing of the transaction holds.
            if let Err(Error::Store(error)) = result {
                return Err(error.into());
            }
            results.push(result);
        }
        Ok(Answer::Rows(results, self.devices_head()?))
    }

    fn devices_head(&self) -> Result<Position, StoreError> {
        Ok(self.tx.head(&self.logs.devices)?.position.clone())
    }

    /// Appends an event to the log `devices`.
    fn append(
        &mut self,
        origin: Option<&Origin>,
        change: impl FnOnce(Sequence) -> wire::device_event::Change,
    ) -> Result<EventStamp, StoreError> {
        self.tx.append(&self.logs.devices, |stamp| {
            let sequence = stamp.position.sequence;
            wire::DeviceEvent {
                sequence,
                recorded_time: Some(timestamp_to_wire(stamp.recorded_time)),
                change: Some(change(sequence)),
                actor: origin.and_then(|origin| origin.actor.clone()),
                trace_parent: origin
                    .map(|origin| origin.trace_parent.clone())
                    .unwrap_or_default(),
            }
            .encode_to_vec()
        })
    }
}

/// Whether the record is the one that the caller expects; without an etag any will do.
fn check_etag(etag: Option<u64>, recorded: Option<Sequence>) -> Result<(), Error> {
    match etag {
        Some(etag) if etag != recorded.unwrap_or(0) => Err(Error::EtagMismatch),
        _ => Ok(()),
    }
}

fn on_wire(position: &Position) -> Option<mesh_api::common::v1::Position> {
    Some(position_to_wire(position))
}

fn outcome(changed: bool) -> Outcome {
    if changed {
        Outcome::Recorded
    } else {
        Outcome::Unchanged
    }
}
