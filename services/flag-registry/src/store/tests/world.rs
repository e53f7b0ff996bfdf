//! A store under test, and commands that only a test can make.

use std::num::NonZeroU32;
use std::sync::Arc;

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::DeviceType;
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::registration::v1 as registration;
use mesh_authz::{Authority, Caller, DevicePermit, Directory, Identity, InternalRole, Refusal};
use mesh_store::conformance::Database;
use mesh_store::cursor::Cursor;
use mesh_store::{Writer, WriterSettings, WriterTask};
use mesh_types::{CspId, DeviceId, ManualClock, Timestamp};

use crate::lifecycle::{DeviceEvent, MeterRecord, News, Tenure};
use crate::preference::Wish;
use crate::quota::Quotas;
use crate::request::Request;
use crate::store::batch::Registry;
use crate::store::{
    Answered, ChangeCommand, Declined, FlagStore, FollowedBatch, NoteCommand, StillAllowed,
};
use crate::tests::fixtures::{CHF, NOW, REGISTERED, at, id, party, position};

const ENTITY: &str = "90-B3-D5-1F-30-01-00-00";

pub(super) struct World {
    pub(super) store: FlagStore,
    pub(super) clock: Arc<ManualClock>,
    quotas: Quotas,
    task: WriterTask,
}

impl World {
    pub(super) async fn open(database: &Database) -> Self {
        Self::with_quotas(database, unlimited()).await
    }

    pub(super) async fn with_quotas(database: &Database, quotas: Quotas) -> Self {
        let clock = Arc::new(ManualClock::new(at(NOW)));
        let settings = WriterSettings::default();
        let opened = FlagStore::open(&database.with_leave(), clock.clone(), quotas, settings).await;
        let (store, task) = opened.unwrap();
        Self {
            store,
            clock,
            quotas,
            task,
        }
    }

    /// Another writer on the same database, as a second replica has one.
    pub(super) fn replica(&self) -> (FlagStore, WriterTask) {
        let (store, log) = (self.store.store.clone(), self.store.log.clone());
        let registry = Registry::new(log.clone(), self.quotas);
        let settings = WriterSettings::default();
        let (writer, task) = Writer::start(store.clone(), registry, self.clock.clone(), settings);
        (FlagStore { store, log, writer }, task)
    }

    pub(super) async fn close(self) {
        self.task.shutdown().await;
        self.store.database().close().await;
    }

    pub(super) async fn change(&self, command: ChangeCommand) -> Result<Answered, Declined> {
        self.store.change(command).await.unwrap()
    }

    /// A wish that must be granted: the sequence of its event.
    pub(super) async fn granted(&self, command: ChangeCommand) -> u64 {
        let Answered(answer) = self.change(command).await.unwrap();
        answer.position.unwrap().sequence
    }

    /// Follows `events`, which end at `to`.
    pub(super) async fn follow(
        &self,
        from: Option<&Cursor>,
        to: &Cursor,
        events: Vec<(u64, DeviceEvent)>,
    ) -> mesh_store::cursor::Advance {
        let batch = FollowedBatch {
            from: from.cloned(),
            to: to.clone(),
            events,
        };
        self.store.follow(batch).await.unwrap()
    }

    pub(super) async fn head(&self) -> u64 {
        self.store.head().await.unwrap().position.sequence
    }
}

/// For cases that are about something else.
fn unlimited() -> Quotas {
    quotas(u32::MAX, u32::MAX)
}

/// The same number for both kinds.
pub(super) fn quotas(device: u32, supplier: u32) -> Quotas {
    let [device, supplier] = [device, supplier].map(|size| NonZeroU32::new(size).unwrap());
    Quotas {
        device_lifts: device,
        device_repeats: device,
        supplier_lifts: supplier,
        supplier_repeats: supplier,
    }
}

pub(super) fn cursor(sequence: u64) -> Cursor {
    Cursor {
        position: position(sequence),
        hash: [u8::try_from(sequence % 256).unwrap(); 32],
    }
}

fn acme() -> Caller {
    let directory = Directory::not_loaded();
    let party = registration::Party {
        party_id: "ACME".into(),
        status: registration::PartyStatus::Active.into(),
        identities: vec![registration::PartyIdentity {
            entity_id: ENTITY.into(),
            roles: vec![Role::ImportSupplier.into()],
        }],
        ..Default::default()
    };
    directory.load([&party]).unwrap();
    let identity = Identity::Organisation(ENTITY.parse().unwrap());
    directory.resolve(identity, None).unwrap()
}

/// What registration says of `device` at `known`: ACME's ESME, until `until`.
pub(super) fn authority(device: DeviceId, known: u64, until: Option<Timestamp>) -> Authority {
    let hub = registration::Device {
        device_id: CHF.into(),
        r#type: DeviceType::Chf.into(),
        csp_id: "north".into(),
        smi_status: registration::SmiStatus::Commissioned.into(),
        ..Default::default()
    };
    let facts = registration::Authority {
        device_id: device.to_string(),
        responsible_party_id: "ACME".into(),
        registration: Some(registration::Registration {
            registration_id: "R1".into(),
            start_time: Some(timestamp_to_wire(at(REGISTERED))),
            ..Default::default()
        }),
        device: Some(registration::Device {
            device_id: device.to_string(),
            r#type: DeviceType::Esme.into(),
            smets_version: Some(registration::SmetsVersion { major: 2, minor: 0 }),
            smi_status: registration::SmiStatus::Commissioned.into(),
            ..Default::default()
        }),
        communications_hub: Some(hub),
        authority_end_time: until.map(timestamp_to_wire),
        responsible_party_status: registration::PartyStatus::Active.into(),
        ..Default::default()
    };
    Authority::from_wire(facts, &position_to_wire(&position(known))).unwrap()
}

/// ACME's `wish` under `authority`.
pub(super) fn command(authority: Authority, wish: Wish) -> ChangeCommand {
    command_of(authority, wish, || Ok(()))
}

pub(super) fn command_of(
    authority: Authority,
    wish: Wish,
    still_allowed: impl Fn() -> Result<(), Refusal> + Send + Sync + 'static,
) -> ChangeCommand {
    let request_id = uuid::Uuid::now_v7().to_string();
    made(authority, wish, &request_id, false, Arc::new(still_allowed))
}

/// The same under this request id, or only checked.
pub(super) fn requested(
    authority: Authority,
    wish: Wish,
    request_id: &str,
    validate_only: bool,
) -> ChangeCommand {
    made(
        authority,
        wish,
        request_id,
        validate_only,
        Arc::new(|| Ok(())),
    )
}

fn made(
    authority: Authority,
    wish: Wish,
    request_id: &str,
    validate_only: bool,
    still_allowed: StillAllowed,
) -> ChangeCommand {
    let request = Request {
        request_id: request_id.to_owned(),
        wish,
        etag: String::new(),
        validate_only,
    };
    let permit = DevicePermit::unchecked(acme(), "/AddFlag", authority);
    ChangeCommand::new(permit, request, String::new(), still_allowed).unwrap()
}

/// A permit that rests on the DSP's role.
pub(super) fn of_the_dsp(device: DeviceId) -> DevicePermit {
    let directory = Directory::not_loaded();
    let dsp = Identity::Internal(InternalRole::Dsp);
    let dsp = directory.resolve(dsp, None).unwrap();
    DevicePermit::unchecked_by_role(dsp, "/NoteTenancyRestriction", device)
}

/// The DSP tells that SRV 3.2 was sent to `device`.
pub(super) fn note(device: DeviceId) -> NoteCommand {
    let request_id = uuid::Uuid::now_v7().to_string();
    let still_allowed = Arc::new(|| Ok(()));
    NoteCommand::new(of_the_dsp(device), request_id, String::new(), still_allowed)
}

/// Registration recorded `device` on `hub` of `csp`.
pub(super) fn moved(device: DeviceId, hub: &str, csp: &str) -> DeviceEvent {
    event(News::Meter(Box::new(MeterRecord {
        device,
        supplier: Some(party("ACME")),
        hub: Some(id(hub)),
        csp: Some(csp.parse().unwrap()),
        covered: Vec::new(),
        exceptions: Vec::new(),
        decommissioned: false,
    })))
}

/// Nobody is responsible for `device` any more.
pub(super) fn lost(device: DeviceId) -> DeviceEvent {
    event(News::Supplier {
        devices: vec![device],
        supplier: None,
        effective: at(NOW),
        tenure: Tenure::unknown(),
    })
}

pub(super) fn hub_of(csp: &str) -> DeviceEvent {
    let csp: CspId = csp.parse().unwrap();
    event(News::Hub {
        hub: id(CHF),
        csp: Some(csp),
    })
}

fn event(news: News) -> DeviceEvent {
    DeviceEvent {
        recorded_time: at(NOW),
        trace_parent: String::new(),
        news,
    }
}
