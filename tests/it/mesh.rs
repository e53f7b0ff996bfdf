//! How does a test get a mesh: the five real services on loopback, with certificates and databases
//! in a folder that goes away?

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flag_registry::Quotas;
use mesh_api::common::v1::ErrorReason;
use mesh_api::registration::v1 as wire;
use mesh_api::status::reason_of;
use mesh_pki::{Ca, Issued, Validity};
use mesh_rpc::{HandshakeCounters, MeshChannel};
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::{Clock as _, EntityId, SystemClock, Timestamp};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh};
use mp169::sample;
use mp169::service::Service;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::engine::Databases;

const DAY: i64 = 86_400 * 1_000_000;
/// How long the certificates hold that a test has issued.
const HOUR: Duration = Duration::from_hours(1);
/// The Remote Party Role Code in the certificates of parties. Roles never come from it.
const ROLE_CODE: u8 = 2;

/// The running mesh.
pub(crate) struct TestMesh {
    mesh: Mesh,
    folder: Folder,
    /// Go before the folder.
    _databases: Databases,
    home: TempDir,
}

impl TestMesh {
    /// Starts the services with nothing loaded and waits until all of them serve.
    pub(crate) async fn start() -> Self {
        Self::start_with(Quotas::default(), Databases::Files).await
    }

    /// The same, for tests that change a few flags more often than any supplier may.
    pub(crate) async fn without_quotas(databases: Databases) -> Self {
        Self::start_with(unlimited(), databases).await
    }

    async fn start_with(quotas: Quotas, databases: Databases) -> Self {
        let home = temp_dir();
        let folder = databases.folder(home.path());
        let clock = Arc::new(SystemClock);
        let anywhere = Listen::default();
        let mesh = Mesh::start_with(&folder, &anywhere, clock, quotas)
            .await
            .unwrap();
        let mesh = Self {
            mesh,
            folder,
            home,
            _databases: databases,
        };
        for service in Service::ALL {
            mesh.serves(service).await;
        }
        mesh
    }

    /// Starts the services with the sample inventory, which all of them know when this returns.
    pub(crate) async fn with_sample() -> Self {
        let mesh = Self::start().await;
        mesh.load(sample::rows(a_year_ago()).unwrap()).await;
        for party in sample::PARTIES {
            mesh.knows(party.id).await;
        }
        mesh
    }

    /// Loads rows, every one of which must be recorded.
    pub(crate) async fn load(&self, rows: Vec<wire::InventoryRow>) {
        let sent = u64::try_from(rows.len()).unwrap();
        let loaded = load(&self.folder, rows, |_| {}).await.unwrap();
        assert_eq!(loaded.recorded, sent, "{loaded}");
    }

    /// The path of its folder.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where certificates, databases and addresses are.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The services as the identity sees them whose certificate has this name: an internal role,
    /// a sample party, or one that [`TestMesh::certify`] issued.
    pub(crate) fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }

    /// A channel to one service.
    pub(crate) fn channel(&self, service: Service, identity: &str) -> MeshChannel {
        self.clients(identity).channel(service).unwrap()
    }

    /// A channel of somebody else's making, with this certificate or none. It connects at the first
    /// call, and anew at the next after a failure.
    pub(crate) fn foreign(&self, service: Service, certificate: Option<&Issued>) -> Channel {
        let trust = Certificate::from_pem(self.authority().certificate_pem());
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(trust)
            .domain_name(service.name());
        if let Some(issued) = certificate {
            tls = tls.identity(Identity::from_pem(
                issued.certificate_pem(),
                issued.key_pem(),
            ));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.mesh.address(service)));
        endpoint.unwrap().tls_config(tls).unwrap().connect_lazy()
    }

    /// The authority that the mesh trusts.
    pub(crate) fn authority(&self) -> Ca {
        Ca::load(&self.home.path().join("authority")).unwrap()
    }

    /// Issues a certificate for an organisation, under `name`.
    pub(crate) fn certify(&self, name: &str, entity: EntityId) {
        let issued = self
            .authority()
            .issue_organisation(entity, ROLE_CODE, name, hour());
        let folder = self.home.path().join("certificates");
        issued.unwrap().write_to(&folder, name).unwrap();
    }

    /// The address of a service.
    pub(crate) fn address(&self, service: Service) -> &str {
        self.mesh.address(service)
    }

    /// How the handshakes of a service's callers ended.
    pub(crate) fn handshakes(&self, service: Service) -> &HandshakeCounters {
        self.mesh.tls(service).unwrap().handshakes()
    }

    /// Waits until a service says that it serves.
    pub(crate) async fn serves(&self, service: Service) {
        serves(&self.folder, service).await;
    }

    /// Waits until every service knows the party of a certificate, and everything that was
    /// recorded in the log `parties` before it.
    pub(crate) async fn knows(&self, identity: &str) {
        everybody_knows(&self.folder, identity).await;
    }

    /// Waits until every service refuses a party because it may not act.
    pub(crate) async fn bars(&self, identity: &str) {
        everybody_says(&self.folder, identity, &[Some(ErrorReason::PartyNotActive)]).await;
    }

    /// Tells the services to drain; says whether every call came to its end.
    pub(crate) async fn stop(self) -> bool {
        self.mesh.stop().await
    }
}

/// For what changes a few flags more often than any supplier may.
pub(crate) fn unlimited() -> Quotas {
    let most = NonZeroU32::MAX;
    Quotas {
        device_lifts: most,
        device_repeats: most,
        supplier_lifts: most,
        supplier_repeats: most,
    }
}

/// Waits until a service of a folder says that it serves.
pub(crate) async fn serves(folder: &Folder, service: Service) {
    let clients = Clients::of(folder, "operator").unwrap();
    let mut health = clients.health(service).unwrap();
    wait_until(
        &format!("{} to serve", service.name()),
        async || match health.check(HealthCheckRequest::default()).await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(answer) => Err(format!("{:?}", answer.get_ref().status())),
            Err(status) => Err(status.to_string()),
        },
    )
    .await;
}

/// Waits until every service of a folder knows the party of a certificate, and everything that was
/// recorded in the log `parties` before it.
pub(crate) async fn everybody_knows(folder: &Folder, identity: &str) {
    let known = [None, Some(ErrorReason::RoleNotPermitted)];
    everybody_says(folder, identity, &known).await;
}

/// Reflection is the one method that all services have and that asks who the caller is.
async fn everybody_says(folder: &Folder, identity: &str, expected: &[Option<ErrorReason>]) {
    let clients = Clients::of(folder, identity).unwrap();
    for service in Service::ALL {
        let channel = clients.channel(service).unwrap();
        let what = format!("{} to say {expected:?} of {identity}", service.name());
        wait_until(&what, async || {
            match listed_services(channel.clone()).await {
                Ok(_) if expected.contains(&None) => Ok(()),
                Err(status) if expected.contains(&reason_of(&status)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// The names of the services that a server lists by reflection.
pub(crate) async fn listed_services(channel: MeshChannel) -> Result<Vec<String>, tonic::Status> {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(ask)).await;
    let answer = answers?.into_inner().message().await?;
    match answer.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|named| named.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// From five minutes ago until in an hour.
pub(crate) fn hour() -> Validity {
    Validity::starting_now(&SystemClock, HOUR)
}

/// When what the tests load began to hold.
pub(crate) fn a_year_ago() -> Timestamp {
    Timestamp::from_micros(SystemClock.now().micros() - 365 * DAY)
}
