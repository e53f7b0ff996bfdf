//! What do commands and the passing of time change about who is registered?

use std::collections::BTreeSet;

use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_store::StoreError;
use mesh_types::{DeviceId, Interval, Mpxn, PartyId, Position, Timestamp};

use super::super::command::{Origin, Outcome};
use super::super::rows::Recorded;
use super::{Deciding, on_wire};
use crate::error::Error;
use crate::supply::{Effect, Registration, RegistrationId, Room};
use crate::wire::registration_to_wire;

/// A registration that was made, and the one that it ended.
struct Registered {
    registration: Registration,
    ended: Option<Registration>,
    position: Position,
}

impl Deciding<'_> {
    pub(super) fn change_supplier(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        party: &PartyId,
        start: Option<Timestamp>,
    ) -> Result<wire::ChangeSupplierResponse, Error> {
        self.known.judge_supplier(mpxn, party)?;
        let start = match start {
            Some(start) => start,
            // Recorded is the log's own time, which may be far from now.
            None => match self.tx.log_ahead(&self.logs.devices)? {
                Some(doubt) => return Err(doubt.into()),
                None => self.now,
            },
        };
        let room = self.known.supply(mpxn).change_at(start)?;
        let made = self.register(origin, mpxn, party, &room)?;
        Ok(wire::ChangeSupplierResponse {
            registration: Some(registration_to_wire(&made.registration)),
            ended: made.ended.as_ref().map(registration_to_wire),
            replayed: false,
            position: on_wire(&made.position),
        })
    }

    pub(super) fn withdraw_registration(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        party: &PartyId,
        start: Timestamp,
    ) -> Result<wire::WithdrawRegistrationResponse, Error> {
        let known = &self.known;
        let withdrawal = known.judge_withdrawal(mpxn, party, start, self.now)?;
        let withdrawn = self.withdraw(origin, mpxn, &withdrawal.withdrawn)?;
        let resumed = match &withdrawal.resumed {
            Some((id, end)) => Some(self.resume(origin, mpxn, id, *end)?),
            None => None,
        };
        Ok(wire::WithdrawRegistrationResponse {
            withdrawn: Some(registration_to_wire(&withdrawn)),
            resumed: resumed.as_ref().map(registration_to_wire),
            replayed: false,
            position: on_wire(&self.devices_head()?),
        })
    }

    pub(super) fn import_registration(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        party: &PartyId,
        interval: Interval,
    ) -> Result<Outcome, Error> {
        let Some(room) = self.known.judge_registration(mpxn, party, interval)? else {
            // The answer to the load that recorded it may have been cut off while it waited.
            if self.is_soon(interval.start()) {
                self.taken.devices.extend(self.known.devices_of(mpxn));
            }
            return Ok(Outcome::Unchanged);
        };
        self.register(origin, mpxn, party, &room)?;
        Ok(Outcome::Recorded)
    }

    /// Records a registration for which there is room, and what it brings about by now. What it
    /// brings about later is put down to be logged when it does.
    fn register(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        party: &PartyId,
        room: &Room,
    ) -> Result<Registered, StoreError> {
        let interval = room.interval;
        let told = self.known.supply(mpxn).at(self.now);
        let told = told.map(|registration| registration.party.clone());
        let ended = match &room.ends {
            Some(id) => self.end(origin, mpxn, id, interval.start())?,
            None => None,
        };
        let mut next = self.devices_head()?;
        next.sequence += 1;
        let registration = Registration {
            id: RegistrationId::recorded_at(&next),
            mpxn,
            party: party.clone(),
            interval,
        };
        let mut position = self.record_registration(origin, None, &registration)?;
        self.known
            .put_new_registration(registration.clone(), position.sequence);
        let devices = self.known.devices_of(mpxn);
        if self.is_soon(interval.start()) {
            self.taken.devices.extend(&devices);
        }
        let effect = self.known.supply(mpxn).late_effect(self.now, told.as_ref());
        if let Some(event) =
            effect.map(|effect| took_effect(mpxn, effect, interval.start(), &devices))
        {
            position = self.append(Some(origin), |_| event)?.position;
        }
        let bounds = [Some(interval.start()), interval.closed_end()];
        for bound in bounds.into_iter().flatten().filter(|&at| at > self.now) {
            self.changes.due(bound, mpxn);
        }
        Ok(Registered {
            registration,
            ended,
            position,
        })
    }

    /// Takes out a registration that has not begun. That it was due to begin stays put down: when that
    /// time comes, nothing happens then.
    fn withdraw(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        id: &RegistrationId,
    ) -> Result<Registration, StoreError> {
        let value = self.known.supply(mpxn).remove(id).ok_or_else(not_read)?;
        let event = wire::RegistrationWithdrawn {
            registration: Some(registration_to_wire(&value)),
        };
        let stamp = self.append(Some(origin), |_| Change::RegistrationWithdrawn(event))?;
        let at = stamp.position.sequence;
        let since = self.known.recorded_anew(id, at).ok_or_else(not_read)?;
        let before = Recorded {
            value: value.clone(),
            since,
        };
        self.changes.withdrawn(before, at);
        Ok(value)
    }

    /// Lets a registration go on that was to end when another one began.
    fn resume(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        id: &RegistrationId,
        end: Timestamp,
    ) -> Result<Registration, StoreError> {
        let moved = self.known.supply(mpxn).move_end(id, end);
        let (before, after) = moved.ok_or_else(not_read)?;
        self.record_moved(origin, before, &after)?;
        if let Some(end) = after.interval.closed_end() {
            self.changes.due(end, mpxn);
        }
        Ok(after)
    }

    /// Ends a registration. What begins in its place says when that takes effect.
    fn end(
        &mut self,
        origin: &Origin,
        mpxn: Mpxn,
        id: &RegistrationId,
        at: Timestamp,
    ) -> Result<Option<Registration>, StoreError> {
        let Some((before, after)) = self.known.supply(mpxn).end(id, at) else {
            return Ok(None);
        };
        self.record_moved(origin, before, &after)?;
        Ok(Some(after))
    }

    /// Records that a registration has another end.
    fn record_moved(
        &mut self,
        origin: &Origin,
        before: Registration,
        after: &Registration,
    ) -> Result<(), StoreError> {
        let stamp = self.record_registration(origin, Some(&before), after)?;
        let since = self.known.recorded_anew(&after.id, stamp.sequence);
        let before = Recorded {
            value: before,
            since: since.ok_or_else(not_read)?,
        };
        self.changes
            .registration(Some(before), after.clone(), stamp.sequence);
        Ok(())
    }

    fn record_registration(
        &mut self,
        origin: &Origin,
        before: Option<&Registration>,
        after: &Registration,
    ) -> Result<Position, StoreError> {
        let event = wire::RegistrationRecorded {
            registration: Some(registration_to_wire(after)),
            previous: before.map(registration_to_wire),
        };
        let stamp = self.append(Some(origin), |_| Change::RegistrationRecorded(event))?;
        if before.is_none() {
            let sequence = stamp.position.sequence;
            self.changes.registration(None, after.clone(), sequence);
        }
        Ok(stamp.position)
    }

    /// Logs what was due at an instant that has come, if the supplier of the MPxN is another one
    /// from then on.
    pub(in super::super) fn settle(&mut self, at: Timestamp, mpxn: Mpxn) -> Result<(), StoreError> {
        let devices = self.known.devices_of(mpxn);
        let effect = self.known.supply(mpxn).effect_at(at);
        if let Some(event) = effect.map(|effect| took_effect(mpxn, effect, at, &devices)) {
            self.append(None, |_| event)?;
        }
        self.changes.settled(at, mpxn);
        Ok(())
    }
}

fn not_read() -> StoreError {
    StoreError::inconsistent(
        "registration",
        "a registration was not read before it changed",
    )
}

fn took_effect(
    mpxn: Mpxn,
    effect: Effect<'_>,
    at: Timestamp,
    devices: &BTreeSet<DeviceId>,
) -> Change {
    Change::SupplierTookEffect(wire::SupplierTookEffect {
        mpxn: mpxn.to_string(),
        registration: effect.begins.map(registration_to_wire),
        previous_party_id: effect.previous.map(ToString::to_string).unwrap_or_default(),
        effective_time: Some(timestamp_to_wire(at)),
        device_ids: devices.iter().map(ToString::to_string).collect(),
    })
}
