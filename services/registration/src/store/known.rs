//! What does a transaction know of the records that its commands name, its own changes included?

use std::collections::{BTreeSet, HashMap};

use mesh_store::StoreError;
use mesh_store::sql::Conn;
use mesh_types::{DeviceId, EntityId, Interval, Mpxn, PartyId, Sequence, Timestamp};

use super::command::Needs;
use super::read::{self, STANDING};
use super::rows::Recorded;
use crate::authority::{Points, authority, mirrored};
use crate::contradiction::Contradiction;
use crate::device::{Device, DeviceType, Related};
use crate::error::Error;
use crate::party::Party;
use crate::supply::{NotWithdrawn, Registration, RegistrationId, Room, Supply, Withdrawal};

/// The records that were read, and what the transaction has made of them so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    parties: HashMap<PartyId, Recorded<Party>>,
    holders: HashMap<EntityId, PartyId>,
    devices: HashMap<DeviceId, Recorded<Device>>,
    meters_of_gpf: HashMap<DeviceId, BTreeSet<DeviceId>>,
    meters_at: HashMap<Mpxn, BTreeSet<DeviceId>>,
    supplies: HashMap<Mpxn, Supply>,
    registered: HashMap<RegistrationId, Sequence>,
    own_ends: HashMap<RegistrationId, Timestamp>,
}

impl Known {
    /// Reads what stands.
    pub(super) async fn read(conn: &mut Conn, needs: Needs) -> Result<Self, StoreError> {
        let mut known = Self::default();
        known.learn(conn, needs).await?;
        Ok(known)
    }

    /// Reads what stands, each kind in one query, and keeps what is known already.
    pub(super) async fn learn(
        &mut self,
        conn: &mut Conn,
        mut needs: Needs,
    ) -> Result<(), StoreError> {
        let mut parties = read::parties(conn, &needs.parties, STANDING).await?;
        parties.extend(read::parties_of_entities(conn, &needs.entities, STANDING).await?);
        for party in parties {
            if !self.parties.contains_key(&party.value.id) {
                self.put_party(party);
            }
        }
        let mut devices = read::devices(conn, &needs.devices, STANDING).await?;
        let meters = read::meters_of_gpfs(conn, &needs.gpfs, STANDING).await?;
        for meter in &meters {
            needs.supplies.extend(meter.value.decisive_mpxn());
        }
        devices.extend(meters);
        devices.extend(read::meters_at(conn, &needs.points, STANDING).await?);
        for device in devices {
            if !self.devices.contains_key(&device.value.id) {
                self.put_device(device);
            }
        }
        needs
            .supplies
            .retain(|mpxn| !self.supplies.contains_key(mpxn));
        for Recorded { value, since } in
            read::registrations(conn, &needs.supplies, STANDING).await?
        {
            self.put_registration(value, since);
        }
        let own_ends = read::own_ends(conn, &needs.own_ends).await?;
        self.own_ends.extend(own_ends);
        Ok(())
    }

    /// The record of a party that results if `party` is put, or what that contradicts.
    pub(super) fn judge_party(&self, party: Party) -> Result<Party, Contradiction> {
        let recorded = self.party(&party.id).map(|recorded| &recorded.value);
        party.recorded_over(recorded, |entity| self.holder(entity))
    }

    /// What the record of a Device contradicts.
    pub(super) fn judge_device(&self, device: &Device) -> Result<(), Contradiction> {
        let recorded = self.device(device.id).map(|recorded| &recorded.value);
        device.check_over(recorded, self.related(device))
    }

    /// Room for a registration with its interval; `None` if it is recorded just so.
    pub(super) fn judge_registration(
        &self,
        mpxn: Mpxn,
        party: &PartyId,
        interval: Interval,
    ) -> Result<Option<Room>, Error> {
        self.judge_supplier(mpxn, party)?;
        let Some(supply) = self.supplies.get(&mpxn) else {
            return Ok(Some(Supply::default().add(interval)?));
        };
        if supply.holds(party, interval) {
            return Ok(None);
        }
        Ok(Some(supply.add(interval)?))
    }

    /// What becomes of an MPxN without a registration that has not begun by `now`.
    pub(super) fn judge_withdrawal(
        &self,
        mpxn: Mpxn,
        party: &PartyId,
        start: Timestamp,
        now: Timestamp,
    ) -> Result<Withdrawal, NotWithdrawn> {
        let supply = self.supplies.get(&mpxn).ok_or(NotWithdrawn::Unknown)?;
        supply.withdrawal(party, start, now, |id| self.own_ends.get(id).copied())
    }

    /// Only a recorded supplier of the fuel can be registered.
    pub(super) fn judge_supplier(&self, mpxn: Mpxn, party: &PartyId) -> Result<(), Contradiction> {
        let recorded = self.party(party);
        if recorded.is_some_and(|recorded| recorded.value.supplies(mpxn)) {
            Ok(())
        } else {
            Err(Contradiction::NotASupplier(party.clone()))
        }
    }

    pub(super) fn party(&self, id: &PartyId) -> Option<&Recorded<Party>> {
        self.parties.get(id)
    }

    /// The party that has an Entity Identifier.
    pub(super) fn holder(&self, entity: EntityId) -> Option<&PartyId> {
        self.holders.get(&entity)
    }

    pub(super) fn put_party(&mut self, party: Recorded<Party>) {
        if let Some(before) = self.parties.get(&party.value.id) {
            for entity in before.value.identities.keys() {
                self.holders.remove(entity);
            }
        }
        for entity in party.value.identities.keys() {
            self.holders.insert(*entity, party.value.id.clone());
        }
        self.parties.insert(party.value.id.clone(), party);
    }

    pub(super) fn device(&self, id: DeviceId) -> Option<&Recorded<Device>> {
        self.devices.get(&id)
    }

    pub(super) fn put_device(&mut self, device: Recorded<Device>) {
        let id = device.value.id;
        if let Some(before) = self.devices.get(&id) {
            let (gpf, mpxn) = (before.value.gpf, before.value.decisive_mpxn());
            if let Some(meters) = gpf.and_then(|gpf| self.meters_of_gpf.get_mut(&gpf)) {
                meters.remove(&id);
            }
            if let Some(meters) = mpxn.and_then(|mpxn| self.meters_at.get_mut(&mpxn)) {
                meters.remove(&id);
            }
        }
        if let Some(gpf) = device.value.gpf {
            self.meters_of_gpf.entry(gpf).or_default().insert(id);
        }
        if let Some(mpxn) = device.value.decisive_mpxn() {
            self.meters_at.entry(mpxn).or_default().insert(id);
        }
        self.devices.insert(id, device);
    }

    /// What is recorded of the Devices that `device` names.
    pub(super) fn related(&self, device: &Device) -> Related<'_> {
        let value = |id: Option<DeviceId>| Some(&self.device(id?)?.value);
        let rival = device.gpf.and_then(|gpf| {
            self.meters_of(gpf)
                .find(|meter| meter.id != device.id && !meter.is_decommissioned())
        });
        Related {
            hub: value(device.hub),
            gpf: value(device.gpf),
            mirrored: rival.map(|meter| meter.id),
        }
    }

    fn meters_of(&self, gpf: DeviceId) -> impl Iterator<Item = &Device> {
        let ids = self.meters_of_gpf.get(&gpf);
        ids.into_iter()
            .flatten()
            .filter_map(|id| Some(&self.device(*id)?.value))
    }

    /// The Responsible Supplier of a Device at an instant.
    pub(super) fn responsible(&self, device: &Device, at: Timestamp) -> Option<&PartyId> {
        let mirrored = match device.device_type {
            DeviceType::Gpf => mirrored(self.meters_of(device.id)),
            _ => None,
        };
        let points = Points::of(device, mirrored);
        let answer = authority(points, |mpxn| self.supplies.get(&mpxn), at);
        answer.registration.map(|registration| &registration.party)
    }

    /// The Devices whose Responsible Supplier is the supplier of an MPxN: meters, and GPFs.
    pub(super) fn devices_of(&self, mpxn: Mpxn) -> BTreeSet<DeviceId> {
        let meters = self.meters_at.get(&mpxn).into_iter().flatten();
        meters
            .filter_map(|id| self.device(*id))
            .flat_map(|meter| {
                let gpf = meter.value.gpf.filter(|_| !meter.value.is_decommissioned());
                [Some(meter.value.id), gpf]
            })
            .flatten()
            .collect()
    }

    pub(super) fn supply(&mut self, mpxn: Mpxn) -> &mut Supply {
        self.supplies.entry(mpxn).or_default()
    }

    /// A registration that was not there before `since`.
    pub(super) fn put_new_registration(&mut self, registration: Registration, since: Sequence) {
        let end = registration.interval.end();
        self.own_ends.insert(registration.id.clone(), end);
        self.put_registration(registration, since);
    }

    pub(super) fn put_registration(&mut self, registration: Registration, since: Sequence) {
        self.registered.insert(registration.id.clone(), since);
        self.supply(registration.mpxn).insert(registration);
    }

    /// Which event made the registration what it is; `since` replaces it.
    pub(super) fn recorded_anew(
        &mut self,
        id: &RegistrationId,
        since: Sequence,
    ) -> Option<Sequence> {
        self.registered.insert(id.clone(), since)
    }
}
