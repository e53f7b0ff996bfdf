//! The service with all that it follows, and short ways to speak to it.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason, MessageClass};
use mesh_api::flag_registry::v1 as flag_wire;
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_api::reporting::v1::{OutcomeOrigin, OutcomeResult};
use mesh_api::status::reason_of;
use mesh_authz::InternalRole;
use mesh_pki::Issued;
use mesh_rpc::{ClientOptions, Drained, MeshChannel, Tls, TlsPem, WebListener, connect};
use mesh_testkit::{TempDir, certificates, wait_until};
use mesh_types::{DeviceId, EntityId, Eui64, ManualClock, Timestamp};
use reporting::edition::Grace;
use reporting::{Deps, run_with_pages};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::upstream::{Inventory, Log, Upstream};

pub(crate) type Client = ReportingServiceClient<MeshChannel>;

/// The suppliers of the tests, each with one entity.
pub(crate) const SUPPLIERS: [(&str, u64); 2] = [("ALBION", 0xA1), ("BRIGHT", 0xB1)];

/// The first second of 2026-11.
const NOVEMBER: i64 = 1_793_491_200;
/// The clock of the tests: two days after the end of November.
const NOW: Timestamp = Timestamp::from_micros((NOVEMBER + 32 * 86_400) * 1_000_000);

pub(crate) fn tls(role: &str) -> Tls {
    tls_of(&certificates().internal(role))
}

fn tls_of(issued: &Issued) -> Tls {
    Tls::from_pem(TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    })
    .unwrap()
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

/// A running service.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Where browsers come with certificates.
    pub(crate) pages: SocketAddr,
    /// The service's own.
    pub(crate) tls: Tls,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(folder: &TempDir, registration: &str, flag_registry: &str) -> Self {
        let web = WebListener::with_certificates(listener().await);
        Self::start_with(folder, [registration, flag_registry], web, Grace::default()).await
    }

    pub(crate) async fn start_with(
        folder: &TempDir,
        [registration, flag_registry]: [&str; 2],
        web: WebListener,
        closing_grace: Grace,
    ) -> Self {
        let url = format!("sqlite://{}", folder.path().join("reporting.db").display());
        let mut deps = Deps::new(
            mesh_store::Database::existing_or_new(&url),
            registration,
            flag_registry,
            tls("reporting"),
        );
        let tls = deps.tls.clone();
        deps.clock = Arc::new(ManualClock::new(NOW));
        deps.closing_grace = closing_grace;
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let pages = web.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                // A test that does not stop its server drops the sender.
                let _ = stopped.await;
            };
            run_with_pages(deps, listener, Some(web), shutdown)
                .await
                .unwrap()
        });
        Self {
            address,
            pages,
            tls,
            stop,
            ended,
        }
    }

    /// Gives the signal; the result comes when the service has drained.
    pub(crate) fn signal(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.ended
    }

    pub(crate) async fn stop(self) {
        assert!(self.signal().await.unwrap().clean);
    }

    /// As an internal role.
    pub(crate) fn internal(&self, role: &str) -> Client {
        self.client(tls(role))
    }

    /// As a supplier.
    pub(crate) fn supplier(&self, name: &str) -> Client {
        self.client(tls_of(&issued_to(name)))
    }

    fn client(&self, tls: Tls) -> Client {
        Client::new(self.channel(tls))
    }

    fn channel(&self, tls: Tls) -> MeshChannel {
        connect(ClientOptions::new(
            "reporting",
            self.address.to_string(),
            tls,
        ))
    }

    pub(crate) async fn is_serving(&self) -> bool {
        let mut health = HealthClient::new(self.channel(tls("operator")));
        let answer = health.check(HealthCheckRequest::default()).await;
        answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
    }
}

/// A certificate of a supplier.
pub(crate) fn issued_to(name: &str) -> Issued {
    let (_, entity) = SUPPLIERS.iter().find(|(known, _)| *known == name).unwrap();
    certificates().organisation(EntityId::new(Eui64::from_u64(*entity)))
}

/// The service and the owners of its logs.
pub(crate) struct World {
    pub(crate) service: Running,
    pub(crate) devices: Log,
    pub(crate) flags: Log,
    pub(crate) folder: TempDir,
    pub(crate) registration: Upstream,
    pub(crate) flag_registry: Upstream,
}

impl World {
    /// With these Devices in the inventory, once the service says that it is serving.
    pub(crate) async fn start(inventory: Vec<registration::DeviceState>) -> Self {
        let (parties, devices) = (Log::new("parties").await, Log::new("devices").await);
        let flags = Log::new("flags").await;
        let known = Inventory::default();
        *known.0.lock().unwrap() = inventory;
        let registration =
            Upstream::registration(&parties, suppliers(), &devices, &known, listener().await);
        let registration = registration.await;
        let flag_registry = Upstream::flag_registry(&flags, listener().await).await;
        let folder = mesh_testkit::temp_dir();
        let service = start(&folder, &registration, &flag_registry).await;
        Self {
            service,
            devices,
            flags,
            folder,
            registration,
            flag_registry,
        }
    }

    /// Stops the service and starts it again on what it has stored.
    pub(crate) async fn restart(self) -> Self {
        self.service.stop().await;
        let service = start(&self.folder, &self.registration, &self.flag_registry).await;
        Self { service, ..self }
    }

    /// The same with pages for everybody on this machine.
    pub(crate) async fn restart_without_certificates(self) -> Self {
        let role = InternalRole::Analyst;
        let web = WebListener::without_certificates(listener().await, role).unwrap();
        self.start_again(web, Grace::default()).await
    }

    /// The same with another time for what is late.
    pub(crate) async fn restart_with_grace(self, grace: Grace) -> Self {
        let web = WebListener::with_certificates(listener().await);
        self.start_again(web, grace).await
    }

    async fn start_again(self, web: WebListener, grace: Grace) -> Self {
        self.service.stop().await;
        let owners = [&self.registration, &self.flag_registry];
        let owners = owners.map(|owner| owner.address.to_string());
        let owners = owners.each_ref().map(String::as_str);
        let service = Running::start_with(&self.folder, owners, web, grace).await;
        Self { service, ..self }
    }

    /// Records that at `at` the flag of `source` is set and reduces these Devices, or is lifted.
    pub(crate) async fn flag(&self, source: u64, at: i64, covered: Option<&[u64]>) -> u64 {
        self.flags.append(flag_event(source, at, covered)).await
    }

    /// The report of November, once it rests on the flag event `sequence`.
    pub(crate) async fn november(&self, sequence: u64) -> wire::GetServiceRequestReportResponse {
        let mut analyst = self.service.internal("analyst");
        wait_until("the flags to be followed", async || {
            let answer = analyst.get_service_request_report(november()).await;
            let answer = answer.map_err(|status| format!("{status:?}"))?.into_inner();
            let basis = answer.basis.clone().unwrap();
            match basis.flags.map(|position| position.sequence) {
                Some(reached) if reached >= sequence => Ok(answer),
                reached => Err(format!("{reached:?}")),
            }
        })
        .await
    }
}

async fn start(folder: &TempDir, registration: &Upstream, flag_registry: &Upstream) -> Running {
    let (registration, flag_registry) = (registration.address, flag_registry.address);
    let (registration, flag_registry) = (registration.to_string(), flag_registry.to_string());
    let service = Running::start(folder, &registration, &flag_registry).await;
    wait_until("the service to be serving", async || {
        if service.is_serving().await {
            Ok(())
        } else {
            Err("not serving")
        }
    })
    .await;
    service
}

pub(crate) fn suppliers() -> Vec<registration::Party> {
    let supplier = |&(name, entity): &(&str, u64)| registration::Party {
        party_id: name.to_owned(),
        status: registration::PartyStatus::Active.into(),
        identities: vec![registration::PartyIdentity {
            entity_id: EntityId::new(Eui64::from_u64(entity)).to_string(),
            roles: vec![Role::ImportSupplier.into(), Role::GasSupplier.into()],
        }],
        ..registration::Party::default()
    };
    SUPPLIERS.iter().map(supplier).collect()
}

pub(crate) fn november() -> wire::GetServiceRequestReportRequest {
    wire::GetServiceRequestReportRequest {
        month: "2026-11".into(),
        ..Default::default()
    }
}

pub(crate) fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

/// So many hours after the beginning of November.
pub(crate) const fn hour(hours: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: NOVEMBER + hours * 3_600,
        nanos: 0,
    }
}

pub(crate) fn flag_event(source: u64, at: i64, covered: Option<&[u64]>) -> flag_wire::FlagEvent {
    let state = match covered {
        Some(_) => flag_wire::FlagState::Flagged,
        None => flag_wire::FlagState::NotFlagged,
    };
    let covered = covered.unwrap_or_default().iter();
    flag_wire::FlagEvent {
        recorded_time: Some(hour(at)),
        effective_time: Some(hour(at)),
        device_id: device(source).to_string(),
        current: Some(flag_wire::FlagFacts {
            state: state.into(),
            covered_device_ids: covered.map(|&number| device(number).to_string()).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A commissioned SMETS2 Device in registration's snapshot.
pub(crate) fn inventoried(
    number: u64,
    kind: DeviceType,
    supplier: &str,
) -> registration::DeviceState {
    registration::DeviceState {
        device: Some(registration::Device {
            device_id: device(number).to_string(),
            r#type: kind.into(),
            smets_version: Some(registration::SmetsVersion { major: 2, minor: 0 }),
            smi_status: registration::SmiStatus::Commissioned.into(),
            ..Default::default()
        }),
        responsible_party_id: supplier.to_owned(),
        ..Default::default()
    }
}

/// A scheduled read of consumption for ALBION that was suppressed, to be changed where another one
/// is meant.
pub(crate) fn outcome(id: &str, number: u64, at: i64) -> wire::Outcome {
    wire::Outcome {
        outcome_id: id.to_owned(),
        party_id: "ALBION".into(),
        device_id: device(number).to_string(),
        service_reference_variant: "4.8.1".into(),
        message_class: MessageClass::Consumption.into(),
        request_time: Some(hour(at)),
        result: OutcomeResult::Suppressed.into(),
        origin: OutcomeOrigin::Scheduled.into(),
    }
}

pub(crate) fn outcomes(outcomes: Vec<wire::Outcome>) -> wire::RecordOutcomesRequest {
    wire::RecordOutcomesRequest {
        producer: "dsp".into(),
        outcomes,
        batch_number: 0,
    }
}

/// Sends a whole stream.
pub(crate) async fn record(
    client: &mut Client,
    requests: Vec<wire::RecordOutcomesRequest>,
) -> Result<wire::RecordOutcomesResponse, Status> {
    let answer = client.record_outcomes(tokio_stream::iter(requests)).await?;
    Ok(answer.into_inner())
}

/// That a call was refused, and how.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, ErrorReason) {
    let status = answer.unwrap_err();
    let reason = reason_of(&status).unwrap_or_else(|| panic!("no reason in {status:?}"));
    (status.code(), reason)
}
