//! A store with a clock that the case moves, and short ways to say what is asked of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_authz::{
    Authority, Authorized, Caller, DevicePermit, Directory, Identity, InternalRole, Role,
};
use mesh_store::log::{self, PageLimit};
use mesh_store::{
    Batch as _, RequestKey, StoreError, Writer, WriterSettings, WriterTask, fingerprint,
};
use mesh_types::{
    Clock as _, DeviceId, EntityId, Eui64, Interval, ManualClock, Mpan, Mprn, Mpxn, PartyId,
    Position, Timestamp,
};
use prost::Message as _;

use super::Database;
use crate::device::{Device, DeviceType, SmetsVersion, SmiStatus};
use crate::error::Error;
use crate::party::{Party, Status};
use crate::store::command::{Answer, Command, Origin, Outcome, PutDevice, Request, Row};
use crate::store::{Inventory, Question, Recorder};

pub(super) struct World {
    pub(super) inventory: Inventory,
    pub(super) clock: Arc<ManualClock>,
    task: WriterTask,
}

impl World {
    /// A store at second 1,000 with the electricity suppliers A and B and the gas supplier G.
    pub(super) async fn start(database: &Database) -> Result<Self, StoreError> {
        let world = Self::open(database).await?;
        for (n, id, role) in [
            (1, "A", Role::ImportSupplier),
            (2, "B", Role::ImportSupplier),
            (3, "G", Role::GasSupplier),
        ] {
            let row = Row::Party(party(id, n, role));
            assert!(world.import(vec![row]).await[0].is_ok());
        }
        Ok(world)
    }

    /// The store as it is.
    pub(super) async fn open(database: &Database) -> Result<Self, StoreError> {
        let clock = Arc::new(ManualClock::new(at(1_000)));
        let settings = WriterSettings::default();
        let (inventory, task) = Inventory::open(
            &mesh_store::Database::existing_or_new(&database.url),
            clock.clone(),
            settings,
        )
        .await?;
        Ok(Self {
            inventory,
            clock,
            task,
        })
    }

    /// Another replica on the same store.
    pub(super) fn replica(&self) -> (Inventory, WriterTask) {
        let (store, logs) = (self.inventory.store.clone(), self.inventory.logs.clone());
        let recorder = Recorder { logs: logs.clone() };
        let settings = WriterSettings::default();
        let (writer, task) = Writer::start(store.clone(), recorder, self.clock.clone(), settings);
        let inventory = Inventory {
            store,
            writer,
            logs,
            leases: self.inventory.leases.clone(),
        };
        (inventory, task)
    }

    /// Closes the store, so that it can be opened again.
    pub(super) async fn stop(self) {
        self.task.shutdown().await;
        self.inventory.store().close().await;
    }

    pub(super) async fn import(&self, rows: Vec<Row>) -> Vec<Result<Outcome, Error>> {
        let origin = Origin::default();
        match self
            .inventory
            .submit(Command::Import { origin, rows })
            .await
        {
            Ok(Answer::Rows(results, _)) => results,
            other => panic!("an import is answered by rows: {other:?}"),
        }
    }

    /// Imports rows that must all be recorded.
    pub(super) async fn load(&self, rows: Vec<Row>) {
        for result in self.import(rows).await {
            assert_eq!(result.unwrap(), Outcome::Recorded);
        }
    }

    pub(super) async fn change(
        &self,
        mpxn: Mpxn,
        to: &str,
        start: Option<i64>,
    ) -> Result<wire::ChangeSupplierResponse, Error> {
        self.inventory.ask(change(mpxn, to, start)).await
    }

    pub(super) async fn withdraw(
        &self,
        mpxn: Mpxn,
        party: &str,
        start: i64,
    ) -> Result<wire::WithdrawRegistrationResponse, Error> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let command = withdrawal(&request_id, mpxn, party, start);
        self.inventory.ask(command).await
    }

    /// Has commands decided in one transaction. All of them must be accepted.
    pub(super) async fn together(&self, commands: &[Command]) -> Result<(), StoreError> {
        let logs = self.inventory.logs.clone();
        let mut tx = self.inventory.store.begin_write(self.clock.now()).await?;
        for answer in (Recorder { logs }).apply(&mut tx, commands).await? {
            assert!(answer.is_ok(), "{answer:?}");
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn settle(&self) -> usize {
        match self.inventory.submit(Command::Settle).await {
            Ok(Answer::Settled(instants)) => instants,
            other => panic!("settling is answered by a number: {other:?}"),
        }
    }

    /// Everything that the log `devices` says, from its first event.
    pub(super) async fn told(&self) -> Result<Vec<Told>, StoreError> {
        let mut told = Vec::new();
        let log = &self.inventory.logs().devices;
        let mut conn = self.inventory.store().readers().acquire().await?;
        loop {
            let after = told.len() as u64;
            let events = log::read(&mut conn, log, after, PageLimit::default()).await?;
            if events.is_empty() {
                return Ok(told);
            }
            for event in events {
                let decoded = wire::DeviceEvent::decode(event.event.as_slice());
                told.push(Told::of(decoded.expect("an event is a DeviceEvent")));
            }
        }
    }

    /// What the log says took effect.
    pub(super) async fn effects(&self) -> Result<Vec<Told>, StoreError> {
        let told = self.told().await?;
        let effect = |told: &Told| matches!(told, Told::Effect { .. });
        Ok(told.into_iter().filter(effect).collect())
    }

    pub(super) async fn responsible(&self, device: DeviceId, seconds: i64) -> Option<String> {
        let answers = self
            .inventory
            .authorities(&[open(device)], None, at(seconds))
            .await;
        let (answers, _) = answers.unwrap();
        answers[0].party().map(ToString::to_string)
    }
}

/// A question of one who may know of every Device.
pub(super) const fn open(device: DeviceId) -> Question {
    let party = None;
    Question { device, party }
}

/// An event of the log `devices` in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Device {
        id: String,
        responsible: String,
        csp: String,
    },
    Registration {
        party: String,
        ended: bool,
    },
    Withdrawn {
        party: String,
    },
    Effect {
        from: String,
        to: String,
        seconds: i64,
        devices: usize,
        by_time: bool,
    },
}

impl Told {
    fn of(event: wire::DeviceEvent) -> Self {
        match event.change.expect("an event says what changed") {
            Change::DeviceRecorded(change) => Self::Device {
                id: change.device.unwrap().device_id,
                responsible: change.responsible_party_id,
                csp: change.csp_id,
            },
            Change::RegistrationRecorded(change) => Self::Registration {
                party: change.registration.unwrap().party_id,
                ended: change.previous.is_some(),
            },
            Change::RegistrationWithdrawn(change) => Self::Withdrawn {
                party: change.registration.unwrap().party_id,
            },
            Change::SupplierTookEffect(change) => Self::Effect {
                from: change.previous_party_id,
                to: change.registration.map(|r| r.party_id).unwrap_or_default(),
                seconds: change.effective_time.unwrap().seconds,
                devices: change.device_ids.len(),
                by_time: event.actor.is_none() && event.trace_parent.is_empty(),
            },
        }
    }
}

pub(super) fn effect(from: &str, to: &str, seconds: i64, devices: usize) -> Told {
    Told::Effect {
        from: from.to_owned(),
        to: to.to_owned(),
        seconds,
        devices,
        by_time: true,
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn id(n: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(n))
}

pub(super) fn entity(n: u64) -> EntityId {
    EntityId::new(Eui64::from_u64(n))
}

pub(super) fn mpan(n: u64) -> Mpan {
    Mpan::with_check_digit(120_000_000_000 + n).unwrap()
}

pub(super) fn mprn(n: u64) -> Mprn {
    Mprn::with_check_digits(1_000_000 + n).unwrap()
}

pub(super) fn party(id: &str, n: u64, role: Role) -> Party {
    Party {
        id: id.parse().unwrap(),
        name: format!("Party {id}").parse().unwrap(),
        status: Status::Active,
        identities: [(entity(n), [role].into())].into(),
        csp: None,
        acts_for: BTreeSet::new(),
    }
}

pub(super) fn device(n: u64, device_type: DeviceType) -> Device {
    let meter = device_type.is_meter();
    Device {
        id: id(n),
        device_type,
        smets_version: meter.then_some(SmetsVersion { major: 2, minor: 0 }),
        status: Some(SmiStatus::Commissioned),
        status_since: Some(at(1)),
        hub: None,
        csp: (device_type == DeviceType::Chf).then(|| "north".parse().unwrap()),
        gpf: None,
        import_mpan: (device_type == DeviceType::Esme).then(|| mpan(n)),
        secondary_import_mpan: None,
        export_mpan: None,
        mprn: (device_type == DeviceType::Gsme).then(|| mprn(n)),
        site_exceptions: BTreeSet::new(),
    }
}

pub(super) fn put(device: Device) -> Row {
    Row::Device(permitted(device))
}

pub(super) fn permitted(device: Device) -> PutDevice {
    let facts = wire::Authority {
        device_id: device.id.to_string(),
        ..wire::Authority::default()
    };
    let position = mesh_api::common::v1::Position {
        log: "devices".to_owned(),
        epoch: 1,
        sequence: 0,
    };
    let authority = Authority::from_wire(facts, &position).unwrap();
    let permit = DevicePermit::unchecked(operator(), "PutDevice", authority);
    PutDevice::new(Authorized::Caller(permit), device)
}

fn operator() -> Caller {
    let operator = Identity::Internal(InternalRole::Operator);
    Directory::not_loaded().resolve(operator, None).unwrap()
}

pub(super) fn registered(mpxn: Mpxn, to: &str, start: i64, end: Option<i64>) -> Row {
    Row::Registration {
        mpxn,
        party: to.parse::<PartyId>().unwrap(),
        interval: Interval::new(at(start), end.map(at)).unwrap(),
    }
}

pub(super) fn change(mpxn: Mpxn, to: &str, start: Option<i64>) -> Command {
    Command::ChangeSupplier {
        request: request(&uuid::Uuid::new_v4().to_string(), to),
        origin: Origin::default(),
        mpxn,
        party: to.parse().unwrap(),
        start: start.map(at),
    }
}

pub(super) fn withdrawal(request_id: &str, mpxn: Mpxn, party: &str, start: i64) -> Command {
    Command::WithdrawRegistration {
        request: request(request_id, party),
        origin: Origin::default(),
        mpxn,
        party: party.parse().unwrap(),
        start: at(start),
    }
}

pub(super) fn request(request_id: &str, value: &str) -> Request {
    Request {
        key: RequestKey {
            party: "operator".to_owned(),
            rpc: "Test".into(),
            request_id: request_id.to_owned(),
        },
        fingerprint: fingerprint([value.as_bytes()]),
    }
}

pub(super) fn sequence(position: Option<&mesh_api::common::v1::Position>) -> u64 {
    position.expect("an answer has a position").sequence
}

pub(super) async fn head(world: &World) -> Position {
    world.inventory.devices_head().await.unwrap()
}
