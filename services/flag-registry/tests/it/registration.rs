//! A registration as small as the flag registry can be tested with: parties and authority answers
//! that a test sets, and the two logs with what it did. `serve.rs` answers the calls.

mod serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{self as common, DeviceType};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_api::registration::v1::{PartyStatus, SmiStatus};
use mesh_types::chain::{self, Hash};
use mesh_types::{Epoch, Timestamp};
use prost::Message as _;
use tokio::sync::watch;

use crate::world::{HUB, NOW};

/// Shared by the test and the server.
#[derive(Clone)]
pub(crate) struct Registration {
    state: Arc<Mutex<State>>,
    news: watch::Sender<()>,
}

struct State {
    parties: BTreeMap<String, wire::Party>,
    party_log: Log,
    authorities: BTreeMap<String, wire::Authority>,
    device_log: Log,
    /// What questions without a position are answered from, if it is not the present.
    remembered: Option<(u64, BTreeMap<String, wire::Authority>)>,
    /// Whether questions with a position are answered from there, too.
    stubborn: bool,
    reachable: bool,
}

/// One history of a log.
struct Log {
    name: &'static str,
    epoch: u64,
    entries: Vec<common::LogEntry>,
    hash: Hash,
}

impl Log {
    fn new(name: &'static str, epoch: u64) -> Self {
        let hash = chain::genesis(&name.parse().unwrap(), Epoch::new(epoch).unwrap());
        Self {
            name,
            epoch,
            entries: Vec::new(),
            hash,
        }
    }

    fn head(&self) -> common::Position {
        self.position(self.entries.len() as u64)
    }

    fn position(&self, sequence: u64) -> common::Position {
        common::Position {
            log: self.name.into(),
            epoch: self.epoch,
            sequence,
        }
    }

    fn append(&mut self, encode: impl FnOnce(u64) -> Vec<u8>) -> u64 {
        let sequence = self.entries.len() as u64 + 1;
        let event = encode(sequence);
        let previous = self.hash;
        self.hash = chain::link(&previous, sequence, &event);
        self.entries.push(common::LogEntry {
            position: Some(self.position(sequence)),
            previous_hash: previous.to_vec().into(),
            hash: self.hash.to_vec().into(),
            event: event.into(),
        });
        sequence
    }
}

impl Registration {
    pub(crate) fn new() -> Self {
        let state = State {
            parties: BTreeMap::new(),
            party_log: Log::new("parties", 3),
            authorities: BTreeMap::new(),
            device_log: Log::new("devices", 11),
            remembered: None,
            stubborn: false,
            reachable: true,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            news: watch::Sender::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn put_party(&self, id: &str, entity: &str, roles: &[Role], status: PartyStatus) {
        let party = wire::Party {
            party_id: id.into(),
            status: status.into(),
            identities: vec![wire::PartyIdentity {
                entity_id: entity.into(),
                roles: roles.iter().map(|&role| role.into()).collect(),
            }],
            ..Default::default()
        };
        let mut state = self.state();
        state.parties.insert(id.to_owned(), party.clone());
        state.party_log.append(|sequence| {
            let event = wire::PartyEvent {
                sequence,
                recorded_time: Some(timestamp_to_wire(NOW)),
                party: Some(party),
                ..Default::default()
            };
            event.encode_to_vec()
        });
        drop(state);
        self.news.send_replace(());
    }

    /// Changes what is recorded of a Device, and tells the log.
    pub(crate) fn put(&self, device: &str, change: impl FnOnce(&mut wire::Authority)) -> u64 {
        let mut state = self.state();
        let mut authority = state
            .authorities
            .get(device)
            .cloned()
            .unwrap_or_else(|| meter(device));
        let previous = state
            .authorities
            .get(device)
            .and_then(|before| before.device.clone());
        change(&mut authority);
        let hub = authority.communications_hub.as_ref();
        let recorded = wire::DeviceRecorded {
            device: authority.device.clone(),
            previous,
            csp_id: hub.map(|hub| hub.csp_id.clone()).unwrap_or_default(),
            responsible_party_id: authority.responsible_party_id.clone(),
        };
        state.authorities.insert(device.to_owned(), authority);
        let sequence = state.append(Change::DeviceRecorded(recorded), "");
        drop(state);
        self.news.send_replace(());
        sequence
    }

    /// Another supplier is responsible for a Device from `effective` on.
    pub(crate) fn change_supplier(
        &self,
        device: &str,
        party: &str,
        effective: Timestamp,
        trace_parent: &str,
    ) -> u64 {
        let mut state = self.state();
        let authority = state.authorities.get_mut(device).unwrap();
        let previous = std::mem::replace(&mut authority.responsible_party_id, party.to_owned());
        let registration = wire::Registration {
            registration_id: format!("R-{party}"),
            party_id: party.into(),
            start_time: Some(timestamp_to_wire(effective)),
            ..Default::default()
        };
        authority.registration = Some(registration.clone());
        let change = wire::SupplierTookEffect {
            mpxn: String::new(),
            registration: Some(registration),
            previous_party_id: previous,
            effective_time: Some(timestamp_to_wire(effective)),
            device_ids: vec![device.to_owned()],
        };
        let sequence = state.append(Change::SupplierTookEffect(change), trace_parent);
        drop(state);
        self.news.send_replace(());
        sequence
    }

    /// The registration of a Device's supplier is given an end.
    pub(crate) fn end_registration(&self, device: &str, end: Timestamp) {
        self.move_end(device, Some(timestamp_to_wire(end)));
    }

    /// The change of supplier that gave it an end is withdrawn.
    pub(crate) fn withdraw_change(&self, device: &str) {
        let withdrawn = wire::RegistrationWithdrawn::default();
        let change = Change::RegistrationWithdrawn(withdrawn);
        self.state().append(change, "");
        self.move_end(device, None);
    }

    fn move_end(&self, device: &str, end: Option<prost_types::Timestamp>) {
        let mut state = self.state();
        let authority = state.authorities.get_mut(device).unwrap();
        let previous = authority.registration.clone();
        let registration = authority.registration.as_mut().unwrap();
        registration.end_time = end;
        let change = wire::RegistrationRecorded {
            registration: Some(registration.clone()),
            previous,
        };
        authority.authority_end_time = end;
        state.append(Change::RegistrationRecorded(change), "");
        drop(state);
        self.news.send_replace(());
    }

    /// From now on questions are answered from the present state, whatever happens next. A
    /// question that names a later position is answered from the truth, unless `stubborn`.
    pub(crate) fn remember(&self, stubborn: bool) {
        let mut state = self.state();
        state.remembered = Some((state.device_log.head().sequence, state.authorities.clone()));
        state.stubborn = stubborn;
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
    }

    /// Starts another history of the log `devices`, empty, as after a restore.
    pub(crate) fn restore(&self, change: impl FnOnce(&mut BTreeMap<String, wire::Authority>)) {
        let mut state = self.state();
        let epoch = state.device_log.epoch + 1;
        state.device_log = Log::new("devices", epoch);
        change(&mut state.authorities);
        drop(state);
        self.news.send_replace(());
    }

    /// The answers to a question about `devices`.
    fn answer(
        &self,
        devices: &[String],
        at_least: Option<&common::Position>,
    ) -> Result<(Vec<wire::Authority>, common::Position), tonic::Status> {
        let state = self.state();
        if !state.reachable {
            return Err(tonic::Status::unavailable("switched off"));
        }
        let present = (state.device_log.head().sequence, state.authorities.clone());
        let (sequence, authorities) = match &state.remembered {
            Some(old) if state.stubborn || at_least.is_none() => old.clone(),
            _ => present,
        };
        let answers = devices.iter().map(|device| {
            authorities
                .get(device)
                .cloned()
                .unwrap_or_else(|| wire::Authority {
                    device_id: device.clone(),
                    ..Default::default()
                })
        });
        Ok((answers.collect(), state.device_log.position(sequence)))
    }
}

impl State {
    fn append(&mut self, change: Change, trace_parent: &str) -> u64 {
        self.device_log.append(|sequence| {
            let event = wire::DeviceEvent {
                sequence,
                recorded_time: Some(timestamp_to_wire(NOW)),
                change: Some(change),
                actor: None,
                trace_parent: trace_parent.into(),
            };
            event.encode_to_vec()
        })
    }
}

/// A commissioned SMETS2 ESME of ACME's on a commissioned hub in the north.
fn meter(device: &str) -> wire::Authority {
    let start = Timestamp::from_micros(NOW.micros() - 1_000_000_000);
    wire::Authority {
        device_id: device.into(),
        responsible_party_id: "ACME".into(),
        registration: Some(wire::Registration {
            registration_id: "R-ACME".into(),
            party_id: "ACME".into(),
            start_time: Some(timestamp_to_wire(start)),
            ..Default::default()
        }),
        device: Some(wire::Device {
            device_id: device.into(),
            r#type: DeviceType::Esme.into(),
            smets_version: Some(wire::SmetsVersion { major: 2, minor: 0 }),
            smi_status: SmiStatus::Commissioned.into(),
            communications_hub_id: HUB.into(),
            ..Default::default()
        }),
        communications_hub: Some(hub(HUB, "north")),
        responsible_party_status: PartyStatus::Active.into(),
        ..Default::default()
    }
}

/// A commissioned hub.
pub(crate) fn hub(device: &str, csp: &str) -> wire::Device {
    wire::Device {
        device_id: device.into(),
        r#type: DeviceType::Chf.into(),
        smi_status: SmiStatus::Commissioned.into(),
        csp_id: csp.into(),
        ..Default::default()
    }
}
