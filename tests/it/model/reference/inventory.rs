//! Parties, Devices, registrations: what is recorded, and who is responsible at an instant?

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::convert::timestamp_from_wire;
use mesh_api::registration::v1::{self as api, device_event, inventory_row, row_result};
use mesh_api::registration::v1::{Device, PartyStatus, SmiStatus};
use mesh_types::{Mpxn, Timestamp};
use tonic::Code;

use super::super::calls::{Answer, Call, Refusal, Reply};
use super::{Reference, refuse, wire};

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Inventory {
    pub(in super::super) devices: BTreeMap<String, Device>,
    pub(super) registrations: Vec<Registration>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Registration {
    id: String,
    pub(super) mpxn: String,
    party: String,
    pub(super) start: Timestamp,
    /// The first instant after.
    pub(super) end: Timestamp,
    /// The end that it was given when it was recorded.
    own_end: Timestamp,
}

impl Registration {
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    pub(super) fn to_wire(&self) -> api::Registration {
        api::Registration {
            registration_id: self.id.clone(),
            mpxn: self.mpxn.clone(),
            party_id: self.party.clone(),
            start_time: wire(self.start),
            end_time: (self.end != Timestamp::FOREVER).then(|| wire(self.end).unwrap()),
        }
    }
}

impl Inventory {
    /// Every instant at which a registration begins or ends, in order.
    pub(in super::super) fn edges(&self) -> Vec<(Timestamp, Mpxn)> {
        let edges = self.registrations.iter().flat_map(|r| {
            let mpxn: Mpxn = r.mpxn.parse().unwrap();
            [(r.start, mpxn), (r.end, mpxn)]
        });
        let edges: BTreeSet<_> = edges.filter(|(at, _)| *at != Timestamp::FOREVER).collect();
        edges.into_iter().collect()
    }

    /// All registrations, as they are told.
    pub(in super::super) fn registered(&self) -> Vec<api::Registration> {
        let all = self.registrations.iter();
        all.map(Registration::to_wire).collect()
    }

    /// Those of a metering point, in the order of their starts.
    pub(super) fn registrations_of(&self, mpxn: &str) -> Vec<&Registration> {
        let of_point = self.registrations.iter().filter(|r| r.mpxn == mpxn);
        let mut found: Vec<_> = of_point.collect();
        found.sort_by_key(|r| r.start);
        found
    }

    fn registered_at(&self, mpxn: &str, at: Timestamp) -> Option<&Registration> {
        let mut of_point = self.registrations.iter().filter(|r| r.mpxn == mpxn);
        of_point.find(|r| r.holds(at))
    }

    fn supplier(&self, mpxn: &str, at: Timestamp) -> String {
        let registered = self.registered_at(mpxn, at);
        registered.map(|r| r.party.clone()).unwrap_or_default()
    }

    /// The GSME that a GPF mirrors.
    fn mirrored(&self, gpf: &str) -> Option<&Device> {
        let mut meters = self.devices.values();
        meters.find(|m| m.gas_proxy_function_id == gpf && !is_decommissioned(m))
    }

    /// The metering point that decides who is responsible for a Device; empty if there is none.
    fn decisive<'a>(&'a self, device: &'a Device) -> &'a str {
        match device.r#type() {
            DeviceType::Esme if device.import_mpan.is_empty() => &device.export_mpan,
            DeviceType::Esme => &device.import_mpan,
            DeviceType::Gsme => &device.mprn,
            DeviceType::Gpf => self.mirrored(&device.device_id).map_or("", |m| &m.mprn),
            _ => "",
        }
    }

    /// The meters that a metering point decides about, and their GPFs.
    fn devices_at(&self, mpxn: &str) -> BTreeSet<String> {
        let meters = self.devices.values();
        let meters = meters.filter(|d| d.r#type() != DeviceType::Gpf && self.decisive(d) == mpxn);
        let mut found = BTreeSet::new();
        for meter in meters {
            found.insert(meter.device_id.clone());
            if !meter.gas_proxy_function_id.is_empty() && !is_decommissioned(meter) {
                found.insert(meter.gas_proxy_function_id.clone());
            }
        }
        found
    }

    /// Who is responsible for a Device, without whether that party may act.
    pub(in super::super) fn authority(&self, id: &str, at: Timestamp) -> api::Authority {
        let Some(device) = self.devices.get(id) else {
            return api::Authority {
                device_id: id.to_owned(),
                ..api::Authority::default()
            };
        };
        let decisive = self.decisive(device);
        let registered = self.registered_at(decisive, at);
        let matters = |mpxn: &str| mpxn == decisive || mpxn == device.secondary_import_mpan;
        let edges = self.registrations.iter().filter(|r| matters(&r.mpxn));
        let edges = edges.flat_map(|r| [r.start, r.end]);
        let next = edges.filter(|&edge| edge > at && edge != Timestamp::FOREVER);
        let hub = self.devices.get(&device.communications_hub_id);
        api::Authority {
            device_id: id.to_owned(),
            responsible_party_id: self.supplier(decisive, at),
            registration: registered.map(Registration::to_wire),
            device: Some(device.clone()),
            communications_hub: hub.cloned(),
            secondary_responsible_party_id: self.supplier(&device.secondary_import_mpan, at),
            authority_end_time: next.min().and_then(wire),
            responsible_party_status: PartyStatus::Unspecified.into(),
            responsible_since_time: registered.and_then(|r| wire(self.since(r))),
        }
    }

    /// Since when the party of a registration is responsible without a break.
    fn since(&self, registration: &Registration) -> Timestamp {
        let before = self.registrations.iter().find(|r| {
            r.mpxn == registration.mpxn
                && r.party == registration.party
                && r.end == registration.start
        });
        before.map_or(registration.start, |before| self.since(before))
    }
}

pub(super) fn is_decommissioned(device: &Device) -> bool {
    device.smi_status() == SmiStatus::Decommissioned
}

/// Whether two records say the same.
fn same_device(one: &Device, other: &Device) -> bool {
    let plain = |device: &Device| Device {
        etag: String::new(),
        ..device.clone()
    };
    plain(one) == plain(other)
}

impl Reference {
    pub(super) fn set_status(&mut self, call: &Call, asked: &api::SetPartyStatusRequest) -> Answer {
        let mut parties = self.parties.state().clone();
        let Some(party) = parties.get_mut(&asked.party_id) else {
            return refuse(Code::NotFound, ErrorReason::NotFound);
        };
        if party.status() == PartyStatus::Closed && asked.status() != PartyStatus::Closed {
            return refuse(Code::FailedPrecondition, ErrorReason::ContradictsRecord);
        }
        if party.status != asked.status {
            party.status = asked.status;
            let party = party.clone();
            self.record_party(call, party, &asked.reason);
        }
        Ok(Reply::Status(api::SetPartyStatusResponse {
            party: self.parties.state().get(&asked.party_id).cloned(),
            replayed: false,
            position: Some(self.parties.head()),
        }))
    }

    fn record_party(&mut self, call: &Call, mut party: api::Party, reason: &str) {
        let sequence = self.parties.next();
        party.etag = sequence.to_string();
        let event = api::PartyEvent {
            sequence,
            recorded_time: wire(self.now),
            party: Some(party.clone()),
            actor: Some(self.actor(call.caller)),
            trace_parent: String::new(),
            reason: reason.to_owned(),
        };
        let mut parties = self.parties.state().clone();
        parties.insert(party.party_id.clone(), party);
        self.parties.append(self.now, event, parties);
    }

    pub(super) fn put_device(&mut self, call: &Call, asked: &api::PutDeviceRequest) -> Answer {
        let device = asked.device.as_ref().unwrap();
        let recorded = self.devices.state().devices.get(&device.device_id);
        let etag = recorded.map_or("0", |recorded| &recorded.etag);
        if !asked.etag.is_empty() && asked.etag != etag {
            return refuse(Code::Aborted, ErrorReason::EtagMismatch);
        }
        self.put(call, device)?;
        let devices = &self.devices.state().devices;
        Ok(Reply::Put(api::PutDeviceResponse {
            device: devices.get(&device.device_id).cloned(),
            replayed: false,
            position: Some(self.devices.head()),
        }))
    }

    /// Records a Device unless that contradicts what is recorded; says whether anything changed.
    fn put(&mut self, call: &Call, device: &Device) -> Result<bool, Refusal> {
        let mut inventory = self.devices.state().clone();
        let previous = inventory.devices.get(&device.device_id).cloned();
        if contradicts(&inventory, previous.as_ref(), device) {
            return refuse(Code::FailedPrecondition, ErrorReason::ContradictsRecord);
        }
        if previous.as_ref().is_some_and(|p| same_device(p, device)) {
            return Ok(false);
        }
        let device = Device {
            etag: self.devices.next().to_string(),
            ..device.clone()
        };
        let id = device.device_id.clone();
        inventory.devices.insert(id.clone(), device.clone());
        let hub = inventory.devices.get(&device.communications_hub_id);
        let recorded = api::DeviceRecorded {
            csp_id: hub.map(|hub| hub.csp_id.clone()).unwrap_or_default(),
            responsible_party_id: inventory.authority(&id, self.now).responsible_party_id,
            device: Some(device),
            previous,
        };
        let change = device_event::Change::DeviceRecorded(recorded);
        self.record_devices(Some(call), change, inventory);
        Ok(true)
    }

    pub(super) fn change_supplier(
        &mut self,
        call: &Call,
        asked: &api::ChangeSupplierRequest,
    ) -> Answer {
        self.check_supplier(&asked.party_id, &asked.mpxn)?;
        let start = asked.start_time.as_ref();
        let start = start.map_or(self.now, |start| timestamp_from_wire(start).unwrap());
        let inventory = self.devices.state();
        let of_point = inventory.registrations_of(&asked.mpxn);
        if of_point.iter().any(|r| r.start >= start) {
            return refuse(Code::FailedPrecondition, ErrorReason::RegistrationOverlap);
        }
        let ends = inventory.registered_at(&asked.mpxn, start).cloned();
        let told = inventory.supplier(&asked.mpxn, self.now);
        let ended = ends.map(|ends| self.end(call, &ends, start));
        let made = self.register(
            call,
            &told,
            Registration {
                id: String::new(),
                mpxn: asked.mpxn.clone(),
                party: asked.party_id.clone(),
                start,
                end: Timestamp::FOREVER,
                own_end: Timestamp::FOREVER,
            },
        );
        Ok(Reply::Change(api::ChangeSupplierResponse {
            registration: Some(made.to_wire()),
            ended,
            replayed: false,
            position: Some(self.devices.head()),
        }))
    }

    pub(super) fn withdraw(
        &mut self,
        call: &Call,
        asked: &api::WithdrawRegistrationRequest,
    ) -> Answer {
        let start = timestamp_from_wire(&asked.start_time.unwrap()).unwrap();
        let inventory = self.devices.state();
        let of_point = inventory.registrations_of(&asked.mpxn);
        let named = |r: &&&Registration| r.start == start && r.party == asked.party_id;
        let Some(withdrawn) = of_point.iter().find(named).map(|r| (*r).clone()) else {
            return refuse(Code::NotFound, ErrorReason::NotFound);
        };
        let minute = 60_000_000;
        if start.micros() - self.now.micros() <= minute {
            return refuse(Code::FailedPrecondition, ErrorReason::RegistrationBegun);
        }
        let before = of_point.iter().rev().find(|r| r.start < start);
        let before = before.map(|r| (*r).clone());
        let after = of_point.iter().find(|r| r.start > start);
        let next = after.map_or(Timestamp::FOREVER, |after| after.start);
        let mut inventory = inventory.clone();
        inventory.registrations.retain(|r| *r != withdrawn);
        let event = api::RegistrationWithdrawn {
            registration: Some(withdrawn.to_wire()),
        };
        let change = device_event::Change::RegistrationWithdrawn(event);
        self.record_devices(Some(call), change, inventory);
        let moved = before.filter(|before| before.own_end.min(next) != before.end);
        let resumed = moved.map(|before| self.end(call, &before, before.own_end.min(next)));
        Ok(Reply::Withdraw(api::WithdrawRegistrationResponse {
            withdrawn: Some(withdrawn.to_wire()),
            resumed,
            replayed: false,
            position: Some(self.devices.head()),
        }))
    }

    pub(super) fn load(&mut self, call: &Call, asked: &api::ImportInventoryRequest) -> Reply {
        let results = asked.rows.iter().map(|row| match self.load_row(call, row) {
            Ok(changed) => api::RowResult {
                outcome: if changed {
                    row_result::Outcome::Recorded.into()
                } else {
                    row_result::Outcome::Unchanged.into()
                },
                status: None,
            },
            Err(refusal) => api::RowResult {
                outcome: row_result::Outcome::Unspecified.into(),
                status: Some(refusal.of_item()),
            },
        });
        let results = results.collect();
        Reply::Load(api::ImportInventoryResponse {
            results,
            position: Some(self.devices.head()),
        })
    }

    fn load_row(&mut self, call: &Call, row: &api::InventoryRow) -> Result<bool, Refusal> {
        match row.row.as_ref().unwrap() {
            inventory_row::Row::Party(party) => {
                let mut party = party.clone();
                party.set_status(PartyStatus::Active);
                self.record_party(call, party, "");
                Ok(true)
            }
            inventory_row::Row::Device(device) => self.put(call, device),
            inventory_row::Row::Registration(row) => self.load_registration(call, row),
        }
    }

    fn load_registration(&mut self, call: &Call, row: &api::Registration) -> Result<bool, Refusal> {
        let instant = |at: &prost_types::Timestamp| timestamp_from_wire(at).unwrap();
        let start = instant(row.start_time.as_ref().unwrap());
        let end = row.end_time.as_ref().map_or(Timestamp::FOREVER, instant);
        if end <= start {
            return Err(Refusal::of_field("end_time"));
        }
        self.check_supplier(&row.party_id, &row.mpxn)?;
        let inventory = self.devices.state();
        let of_point = inventory.registrations_of(&row.mpxn);
        let same = |r: &&&Registration| (&r.party, r.start, r.end) == (&row.party_id, start, end);
        if of_point.iter().any(|r| same(&r)) {
            return Ok(false);
        }
        if of_point.iter().any(|r| r.start < end && start < r.end) {
            return refuse(Code::FailedPrecondition, ErrorReason::RegistrationOverlap);
        }
        let told = inventory.supplier(&row.mpxn, self.now);
        self.register(
            call,
            &told,
            Registration {
                id: String::new(),
                mpxn: row.mpxn.clone(),
                party: row.party_id.clone(),
                start,
                end,
                own_end: end,
            },
        );
        Ok(true)
    }

    fn check_supplier(&self, party: &str, mpxn: &str) -> Result<(), Refusal> {
        let mut fuel = vec![Role::GasSupplier];
        if matches!(mpxn.parse().unwrap(), Mpxn::Mpan(_)) {
            fuel = vec![Role::ImportSupplier, Role::ExportSupplier];
        }
        let party = self.parties.state().get(party);
        let mut identities = party.iter().flat_map(|party| &party.identities);
        if identities.any(|identity| identity.roles().any(|role| fuel.contains(&role))) {
            return Ok(());
        }
        refuse(Code::FailedPrecondition, ErrorReason::ContradictsRecord)
    }

    fn end(&mut self, call: &Call, ends: &Registration, at: Timestamp) -> api::Registration {
        let mut inventory = self.devices.state().clone();
        let registrations = &mut inventory.registrations;
        let ended = registrations.iter_mut().find(|r| *r == ends).unwrap();
        ended.end = at;
        let ended = ended.to_wire();
        self.record_registration(call, Some(ends.to_wire()), ended.clone(), inventory);
        ended
    }

    /// Records a registration for which there is room. If another supplier than was told is
    /// responsible by now, that is told too.
    fn register(&mut self, call: &Call, told: &str, registration: Registration) -> Registration {
        let registration = Registration {
            id: format!("{:x}-{}", self.devices.beginning.epoch, self.devices.next()),
            ..registration
        };
        let mut inventory = self.devices.state().clone();
        inventory.registrations.push(registration.clone());
        self.record_registration(call, None, registration.to_wire(), inventory);
        let inventory = self.devices.state();
        if inventory.supplier(&registration.mpxn, self.now) != told {
            self.record_effect(Some(call), &registration.mpxn, registration.start);
        }
        registration
    }

    fn record_registration(
        &mut self,
        call: &Call,
        previous: Option<api::Registration>,
        registration: api::Registration,
        inventory: Inventory,
    ) {
        let change = device_event::Change::RegistrationRecorded(api::RegistrationRecorded {
            registration: Some(registration),
            previous,
        });
        self.record_devices(Some(call), change, inventory);
    }

    /// Records that another supplier became responsible at an instant.
    fn record_effect(&mut self, call: Option<&Call>, mpxn: &str, at: Timestamp) {
        let inventory = self.devices.state().clone();
        let of_point = inventory.registrations_of(mpxn);
        let begins = of_point.iter().find(|r| r.start == at);
        let ends = of_point.iter().find(|r| r.end == at);
        let goes_on = begins.zip(ends).is_some_and(|(b, e)| b.party == e.party);
        let previous = ends.filter(|_| !goes_on);
        let change = device_event::Change::SupplierTookEffect(api::SupplierTookEffect {
            mpxn: mpxn.to_owned(),
            registration: begins.map(|r| r.to_wire()),
            previous_party_id: previous.map(|r| r.party.clone()).unwrap_or_default(),
            effective_time: wire(at),
            device_ids: inventory.devices_at(mpxn).into_iter().collect(),
        });
        self.record_devices(call, change, inventory);
    }

    fn record_devices(
        &mut self,
        call: Option<&Call>,
        change: device_event::Change,
        inventory: Inventory,
    ) {
        let event = api::DeviceEvent {
            sequence: self.devices.next(),
            recorded_time: wire(self.now),
            change: Some(change),
            actor: call.map(|call| self.actor(call.caller)),
            trace_parent: String::new(),
        };
        self.devices.append(self.now, event.clone(), inventory);
        self.follow(&event);
    }

    /// Time passes: what began or ended on the way is told, in order.
    pub(in super::super) fn pass(&mut self, to: Timestamp) {
        let from = std::mem::replace(&mut self.now, to);
        for (at, mpxn) in self.devices.state().edges() {
            let (inventory, mpxn) = (self.devices.state(), mpxn.to_string());
            let just_before = Timestamp::from_micros(at.micros() - 1);
            let changed = inventory.supplier(&mpxn, just_before) != inventory.supplier(&mpxn, at);
            if from < at && at <= to && changed {
                self.record_effect(None, &mpxn, at);
            }
        }
    }
}

fn contradicts(inventory: &Inventory, recorded: Option<&Device>, device: &Device) -> bool {
    let is = |id: &str, kind: DeviceType| {
        let named = inventory.devices.get(id);
        id.is_empty() || named.is_some_and(|named| named.r#type() == kind)
    };
    let changed = recorded.is_some_and(|recorded| {
        recorded.r#type != device.r#type
            || recorded.csp_id != device.csp_id
            || is_decommissioned(recorded) && !is_decommissioned(device)
    });
    let gpf = &device.gas_proxy_function_id;
    let mirrored = inventory.mirrored(gpf).filter(|_| !gpf.is_empty());
    let taken = mirrored.is_some_and(|meter| meter.device_id != device.device_id);
    changed
        || !is(&device.communications_hub_id, DeviceType::Chf)
        || !is(gpf, DeviceType::Gpf)
        || taken && !is_decommissioned(device)
}
