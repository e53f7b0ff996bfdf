//! A running flag registry, a small registration beside it, and clients of both kinds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flag_registry::{Deps, Quotas, run};
use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{ErrorReason, Position, stream_frame::Frame};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::flag_registry::v1::follow_flags_response::Body;
use mesh_api::registration::v1::PartyStatus;
use mesh_api::status::reason_of;
use mesh_pki::Issued;
use mesh_rpc::{ClientOptions, Drained, MeshChannel, Tls, TlsPem, connect};
use mesh_testkit::{TempDir, certificates, temp_dir, wait_until};
use mesh_types::{ManualClock, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::registration::Registration;

pub(crate) const METER: &str = "00-DB-12-34-56-78-90-A0";
pub(crate) const GAS_METER: &str = "00-DB-12-34-56-78-90-A1";
pub(crate) const GPF: &str = "00-DB-12-34-56-78-90-A3";
pub(crate) const OTHER_METER: &str = "00-DB-12-34-56-78-90-C0";
/// Flagged by every world, so that tests can see how far the service has followed.
pub(crate) const PROBE: &str = "00-DB-12-34-56-78-90-F0";
pub(crate) const HUB: &str = "00-DB-12-34-56-78-90-A2";
pub(crate) const OTHER_HUB: &str = "00-DB-12-34-56-78-90-B2";

/// When everything happens: the service's clock stands still unless a test moves it.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_760_000_000_000_000);

const ACME: &str = "90-B3-D5-1F-30-01-00-00";
const RIVAL: &str = "90-B3-D5-1F-30-01-00-01";
const AGENT: &str = "90-B3-D5-1F-30-01-00-02";

pub(crate) type Client = FlagServiceClient<MeshChannel>;

pub(crate) struct World {
    pub(crate) registration: Registration,
    pub(crate) clock: Arc<ManualClock>,
    registration_address: String,
    folder: TempDir,
    audit_folder: PathBuf,
    quotas: Quotas,
    running: Option<Running>,
}

struct Running {
    address: String,
    stop: CancellationToken,
    task: JoinHandle<Drained>,
}

impl World {
    /// ACME and RIVAL are suppliers, AGENT is none. There are no Devices.
    pub(crate) async fn start() -> Self {
        Self::start_with(Quotas::default()).await
    }

    /// The same with other quotas than the usual ones.
    pub(crate) async fn start_with(quotas: Quotas) -> Self {
        let registration = Registration::new();
        let supplier = [Role::ImportSupplier, Role::GasSupplier];
        registration.put_party("ACME", ACME, &supplier, PartyStatus::Active);
        registration.put_party("RIVAL", RIVAL, &supplier, PartyStatus::Active);
        let agent = [Role::RegisteredSupplierAgent];
        registration.put_party("AGENT", AGENT, &agent, PartyStatus::Active);
        let address = registration.serve().await.to_string();
        let mut world = Self::stopped(registration, address);
        world.quotas = quotas;
        world.run().await;
        world
    }

    /// The usual one, stopped and started again with its audit in another folder.
    pub(crate) async fn with_audit_in(folder: &Path) -> Self {
        let mut world = Self::start().await;
        world.stop().await;
        world.audit_folder = folder.to_owned();
        world.run().await;
        world
    }

    /// A service whose registration nobody has started.
    pub(crate) async fn without_registration() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut world = Self::stopped(Registration::new(), nobody);
        world.serve().await;
        world
    }

    fn stopped(registration: Registration, registration_address: String) -> Self {
        let folder = temp_dir();
        Self {
            registration,
            registration_address,
            clock: Arc::new(ManualClock::new(NOW)),
            audit_folder: folder.path().to_owned(),
            folder,
            quotas: Quotas::default(),
            running: None,
        }
    }

    /// Starts the service on the world's database, and waits until it knows the parties.
    pub(crate) async fn run(&mut self) {
        self.serve().await;
        let mut acme = self.acme();
        wait_until("the directory is loaded", async || {
            let asked = acme.get_flag(get(METER)).await;
            match asked.map_err(|status| reason_of(&status)) {
                Err(Some(ErrorReason::DirectoryNotLoaded)) => Err("not loaded"),
                _ => Ok(()),
            }
        })
        .await;
    }

    async fn serve(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let audit = format!("sqlite://{}", self.audit_path().display());
        let deps = Deps {
            audit_database: mesh_store::Database::existing_or_new(audit),
            clock: self.clock.clone(),
            quotas: self.quotas,
            ..Deps::new(
                mesh_store::Database::existing_or_new(self.database()),
                &self.registration_address,
                tls(&certificates().internal("flag-registry")),
            )
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { run(deps, listener, stopped).await.unwrap() });
        self.running = Some(Running {
            address,
            stop,
            task,
        });
    }

    /// Where the audit is.
    pub(crate) fn audit_path(&self) -> PathBuf {
        self.audit_folder.join("flags-audit.db")
    }

    /// Where the service has its database.
    pub(crate) fn database(&self) -> String {
        let path = self.folder.path().join("flags.db");
        format!("sqlite://{}", path.display())
    }

    /// Stops the service in good order.
    pub(crate) async fn stop(&mut self) -> Drained {
        let running = self.running.take().unwrap();
        running.stop.cancel();
        running.task.await.unwrap()
    }

    fn address(&self) -> &str {
        &self.running.as_ref().unwrap().address
    }

    fn channel(&self, issued: &Issued) -> MeshChannel {
        connect(ClientOptions::new(
            "flag-registry",
            self.address(),
            tls(issued),
        ))
    }

    fn client(&self, issued: &Issued) -> Client {
        FlagServiceClient::new(self.channel(issued))
    }

    /// What health checks are told of the service.
    pub(crate) async fn health(&self) -> ServingStatus {
        let channel = self.channel(&certificates().internal("operator"));
        let request = HealthCheckRequest {
            service: flag_registry::SERVICE.into(),
        };
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        answer.into_inner().status()
    }

    /// Why the service does not serve, as health checks are told; empty if it does.
    pub(crate) async fn trouble(&self) -> String {
        let channel = self.channel(&certificates().internal("operator"));
        let request = HealthCheckRequest {
            service: flag_registry::SERVICE.into(),
        };
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        let said = answer.metadata().get("mp169-health-reason");
        said.map(|said| said.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    fn organisation(&self, entity: &str) -> Client {
        self.client(&certificates().organisation(entity.parse().unwrap()))
    }

    pub(crate) fn acme(&self) -> Client {
        self.organisation(ACME)
    }

    pub(crate) fn rival(&self) -> Client {
        self.organisation(RIVAL)
    }

    pub(crate) fn agent(&self) -> Client {
        self.organisation(AGENT)
    }

    pub(crate) fn internal(&self, role: &str) -> Client {
        self.client(&certificates().internal(role))
    }

    pub(crate) fn suspend_acme(&self) {
        let roles = [Role::ImportSupplier, Role::GasSupplier];
        self.registration
            .put_party("ACME", ACME, &roles, PartyStatus::Suspended);
    }

    /// Records an ESME that may be flagged.
    pub(crate) fn meter(&self, device: &str) {
        self.registration.put(device, |_| {});
    }

    /// Records a meter and has ACME flag it.
    pub(crate) async fn flagged(&self, device: &str) -> wire::AddFlagResponse {
        self.meter(device);
        self.acme()
            .add_flag(add(device))
            .await
            .unwrap()
            .into_inner()
    }

    /// Waits until the service has followed everything that registration has done so far.
    pub(crate) async fn caught_up(&self) {
        let hub = format!("00-DB-12-34-56-78-F0-{:02X}", self.next_probe_hub().await);
        self.registration.put(PROBE, |authority| {
            authority.device.as_mut().unwrap().communications_hub_id = hub.clone();
        });
        let mut operator = self.internal("operator");
        wait_until("the service has followed", async || {
            let entry = get_entry(&mut operator, PROBE).await;
            if entry.communications_hub_id == hub {
                Ok(())
            } else {
                Err(entry.communications_hub_id)
            }
        })
        .await;
    }

    /// Flags the probe if it is not flagged yet, and gives a number that it was not given before.
    async fn next_probe_hub(&self) -> u64 {
        let entry = get_entry(&mut self.internal("operator"), PROBE).await;
        if entry.last_sequence == 0 {
            self.flagged(PROBE).await;
        }
        entry.last_sequence + 1
    }

    /// The history of a Device as an auditor sees it, oldest first.
    pub(crate) async fn history(&self, device: &str) -> Vec<wire::FlagEvent> {
        let request = wire::ListFlagEventsRequest {
            device_id: device.into(),
            ..Default::default()
        };
        let answer = self.internal("auditor").list_flag_events(request).await;
        let mut events = answer.unwrap().into_inner().events;
        events.reverse();
        events
    }

    pub(crate) async fn causes(&self, device: &str) -> Vec<wire::Cause> {
        let events = self.history(device).await;
        events.iter().map(wire::FlagEvent::cause).collect()
    }
}

fn tls(issued: &Issued) -> Tls {
    Tls::from_pem(TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    })
    .unwrap()
}

/// A request id that was not drawn before.
pub(crate) fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

pub(crate) fn before(seconds: i64) -> Option<prost_types::Timestamp> {
    let at = Timestamp::from_micros(NOW.micros() - seconds * 1_000_000);
    Some(timestamp_to_wire(at))
}

pub(crate) fn choice(party: &str, preference: wire::Preference) -> Option<wire::ConsumerChoice> {
    Some(wire::ConsumerChoice {
        preference: preference.into(),
        captured_time: before(60),
        channel: wire::Channel::Telephone.into(),
        captured_by_party_id: party.into(),
        evidence_reference: format!("{party}-CRM-1"),
    })
}

pub(crate) fn steps() -> Option<wire::ReasonableSteps> {
    Some(wire::ReasonableSteps {
        steps: vec![wire::ReasonableStep {
            kind: wire::StepKind::BenefitsExplained.into(),
            taken_time: before(120),
        }],
        contact_reference: "CALL-1".into(),
    })
}

pub(crate) fn declarations() -> Option<wire::SiteDeclarations> {
    let absent = wire::Declaration::Absent.into();
    Some(wire::SiteDeclarations {
        economy_7_or_similar: absent,
        radio_teleswitch: absent,
        network_managed_without_wan: absent,
    })
}

/// ACME's request to set a flag, with everything that it needs.
pub(crate) fn add(device: &str) -> wire::AddFlagRequest {
    wire::AddFlagRequest {
        request_id: request_id(),
        device_id: device.into(),
        choice: choice("ACME", wire::Preference::Reduced),
        reasonable_steps: steps(),
        site_declarations: declarations(),
        ..Default::default()
    }
}

pub(crate) fn remove(device: &str) -> wire::RemoveFlagRequest {
    wire::RemoveFlagRequest {
        request_id: request_id(),
        device_id: device.into(),
        choice: choice("ACME", wire::Preference::Full),
        ..Default::default()
    }
}

pub(crate) fn get(device: &str) -> wire::GetFlagRequest {
    wire::GetFlagRequest {
        device_id: device.into(),
        ..Default::default()
    }
}

pub(crate) async fn get_entry(client: &mut Client, device: &str) -> wire::FlagEntry {
    let answer = client.get_flag(get(device)).await.unwrap();
    answer.into_inner().entry.unwrap()
}

/// The code and reason of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, Status>,
) -> (Code, ErrorReason) {
    let status = answer.unwrap_err();
    let reason = reason_of(&status);
    (
        status.code(),
        reason.unwrap_or_else(|| panic!("a refusal without a reason: {status:?}")),
    )
}

/// Reads the log `flags` from a stream until it has come to `head`; checks the chain.
pub(crate) struct LogReader {
    stream: tonic::Streaming<wire::FollowFlagsResponse>,
    hash: Option<Vec<u8>>,
    pub(crate) at: u64,
    /// What the snapshot had.
    pub(crate) snapshot: BTreeMap<String, wire::FlagEntry>,
    pub(crate) events: Vec<wire::FlagEvent>,
}

impl LogReader {
    pub(crate) fn new(stream: tonic::Streaming<wire::FollowFlagsResponse>) -> Self {
        Self {
            stream,
            hash: None,
            at: 0,
            snapshot: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(crate) async fn read_to(&mut self, head: &Position) {
        use prost::Message as _;
        use sha2::Digest as _;

        while self.at < head.sequence {
            let response = self.stream.message().await.unwrap().unwrap();
            match response.body.unwrap() {
                Body::Snapshot(part) => {
                    let entries = part.entries.into_iter();
                    self.snapshot
                        .extend(entries.map(|entry| (entry.device_id.clone(), entry)));
                }
                Body::Frame(frame) => match frame.frame.unwrap() {
                    Frame::SnapshotComplete(complete) => {
                        assert_eq!(complete.items, self.snapshot.len() as u64);
                        self.at = complete.position.unwrap().sequence;
                        self.hash = Some(complete.hash);
                    }
                    Frame::Entries(entries) => {
                        for entry in entries.entries {
                            self.at += 1;
                            assert_eq!(entry.position.unwrap().sequence, self.at);
                            let previous = entry.previous_hash.to_vec();
                            assert!(self.hash.as_ref().is_none_or(|hash| *hash == previous));
                            let expected = sha2::Sha256::new()
                                .chain_update(&previous)
                                .chain_update(self.at.to_be_bytes())
                                .chain_update(&entry.event)
                                .finalize();
                            assert_eq!(entry.hash.as_ref(), expected.as_slice());
                            self.hash = Some(entry.hash.to_vec());
                            let event = wire::FlagEvent::decode(entry.event).unwrap();
                            assert_eq!(event.sequence, self.at);
                            self.events.push(event);
                        }
                    }
                    Frame::Hello(_)
                    | Frame::Checkpoint(_)
                    | Frame::Draining(_)
                    | Frame::Resync(_) => {}
                },
            }
        }
    }
}
