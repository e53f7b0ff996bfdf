//! Which mesh is measured, and what is in it?
//!
//! The five services in this process, as `mp169 up` runs them, on loopback and on either engine. Clients and
//! the bare servers share the process and its runtime with them: whatever that costs, it costs both
//! sides of a figure.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use flag_registry::Quotas;
use mesh_api::classification::v1::BatchClassifyRequest;
use mesh_api::common::v1::Position;
use mesh_api::csp_notification::v1::GetSubscriptionRequest;
use mesh_api::reporting::v1::GetObligationReportRequest;
use mesh_pki::{CA_CERTIFICATE_FILE, IssuedPaths};
use mesh_rpc::Tls;
use mesh_store::Database;
use mesh_testkit::wait_until;
use mesh_types::DeviceId;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh};
use mp169::sample::{self, Home};
use mp169::service::Service;
use tempfile::TempDir;
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig,
};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::engine::{Engine, Room};

/// Connections of a client to a server.
const CONNECTIONS: usize = 4;
/// From this number on every second home is an ordinary one in the north, supplied by Albion.
const FIRST_HOME: u16 = 8;

/// What is measured again and again is measured on the same Devices.
fn unlimited() -> Quotas {
    Quotas {
        device_lifts: NonZeroU32::MAX,
        device_repeats: NonZeroU32::MAX,
        supplier_lifts: NonZeroU32::MAX,
        supplier_repeats: NonZeroU32::MAX,
    }
}

/// The running mesh.
pub(crate) struct Town {
    mesh: Mesh,
    folder: Folder,
    /// Goes before the folder.
    room: Room,
    home: TempDir,
    homes: u16,
}

impl Town {
    /// Starts the services in a folder within `parent` that goes away, and loads so many homes.
    pub(crate) async fn build(parent: &Path, engine: Engine, homes: u16) -> Result<Self> {
        let home = TempDir::new_in(parent)?;
        let room = Room::new(engine, parent, home.path())?;
        let folder = room.folder(home.path())?;
        let (anywhere, clock) = (Listen::default(), |_| mesh_service::machine_clock(false));
        let mesh = Mesh::start_by(&folder, &anywhere, clock, unlimited()).await?;
        let town = Self {
            mesh,
            folder,
            room,
            home,
            homes,
        };
        for service in Service::ALL {
            town.serves(service).await?;
        }
        let mut rows = sample::parties();
        for home in town.homes() {
            rows.extend(home.rows(sample::SINCE)?);
        }
        let loaded = load(&town.folder, rows, |_| {}).await?;
        ensure!(loaded.refused == 0, "the inventory was refused: {loaded}");
        Ok(town)
    }

    fn homes(&self) -> impl Iterator<Item = Home> {
        (0..self.homes).map(|number| Home::new(FIRST_HOME + 2 * number))
    }

    /// The meters whose flag is set before anything is measured, and stays so: one in four.
    pub(crate) fn flagged(&self) -> Vec<DeviceId> {
        self.homes().step_by(4).map(Home::esme).collect()
    }

    /// The other three in four.
    pub(crate) fn unflagged(&self) -> Vec<DeviceId> {
        self.unflagged_homes().map(Home::esme).collect()
    }

    /// Their homes.
    pub(crate) fn unflagged_homes(&self) -> impl Iterator<Item = Home> {
        let homes = self.homes().enumerate();
        homes
            .filter(|(number, _)| number % 4 != 0)
            .map(|(_, home)| home)
    }

    /// The gas meters of the other supplier, beside the electricity meters of Albion.
    pub(crate) fn gas_meters_of_caledonia(&self) -> Vec<DeviceId> {
        let homes = self.homes().filter(|home| home.takes_gas());
        let homes = homes.filter(|home| home.gas().id == sample::CALEDONIA.id);
        homes.map(Home::gsme).collect()
    }

    /// A database that is none of the mesh's, on the same engine and disk.
    pub(crate) async fn database_beside(&self, name: &str) -> Result<Database> {
        self.room.beside(name).await
    }

    /// The folder of the mesh.
    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// Connections of tonic's own client to a service of the mesh, shown `identity`'s certificate.
    pub(crate) fn channels(&self, service: Service, identity: &str) -> Result<Vec<Channel>> {
        self.channels_to(service, self.mesh.address(service), identity)
    }

    /// The same for a client that opens its connections itself.
    pub(crate) fn endpoint(&self, service: Service, identity: &str) -> Result<Endpoint> {
        self.endpoint_of(service, self.mesh.address(service), identity)
    }

    /// The authority of the mesh, and the certificate and the key of a service, as files.
    pub(crate) fn files(&self, service: Service) -> (PathBuf, IssuedPaths) {
        let certificates = self.path().join("certificates");
        let authority = self.path().join("authority").join(CA_CERTIFICATE_FILE);
        (authority, IssuedPaths::of(&certificates, service.name()))
    }

    /// Clients of every service, with the certificate of `identity`.
    pub(crate) fn clients(&self, identity: &str) -> Result<Clients> {
        Clients::of(&self.folder, identity)
    }

    /// A new client of a service that shows no certificate.
    pub(crate) fn door(&self, service: Service) -> Result<Endpoint> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(authority_in(self.path())?)
            .domain_name(service.name());
        let endpoint = Endpoint::from_shared(format!("https://{}", self.mesh.address(service)))?;
        Ok(endpoint.tls_config(tls)?)
    }

    /// The same to whatever listens at `address` with the certificate of `service`.
    pub(crate) fn channels_to(
        &self,
        service: Service,
        address: &str,
        identity: &str,
    ) -> Result<Vec<Channel>> {
        let endpoint = self.endpoint_of(service, address, identity)?;
        Ok((0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect())
    }

    fn endpoint_of(&self, service: Service, address: &str, identity: &str) -> Result<Endpoint> {
        endpoint(self.path(), service, address, identity)
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> &str {
        self.mesh.address(service)
    }

    /// The certificate of a service and whom it trusts, as the mesh uses them.
    pub(crate) fn tls(&self, service: Service) -> Result<Tls> {
        self.folder.tls(service.name())
    }

    /// The TLS of a server that shows the certificate of `service` and asks callers for theirs.
    pub(crate) fn server_tls(&self, service: Service) -> Result<ServerTlsConfig> {
        Ok(ServerTlsConfig::new()
            .identity(identity_in(self.path(), service.name())?)
            .client_ca_root(authority_in(self.path())?))
    }

    /// Waits until every service has applied the log `flags` up to `sequence`.
    pub(crate) async fn follows(&self, sequence: u64) -> Result<()> {
        let operator = Clients::of(&self.folder, "operator")?;
        let mut classification = operator.classification()?;
        let mut csp = operator.csp()?;
        let mut reporting = operator.reporting()?;
        wait_until(&format!("all to follow up to {sequence}"), async || {
            let ask = BatchClassifyRequest::default();
            let answer = classification.batch_classify(ask).await?.into_inner();
            let classified = answer.basis.and_then(|basis| basis.position);
            // Every Device is in the north, so each event of `flags` is one of that CSP's log too.
            let ask = GetSubscriptionRequest {
                csp_id: sample::CSP_NORTH.csp.to_owned(),
            };
            let answer = csp.get_subscription(ask).await?.into_inner();
            let told = answer.subscription.and_then(|north| north.head);
            let ask = GetObligationReportRequest::default();
            let answer = reporting.get_obligation_report(ask).await?.into_inner();
            let reported = answer.basis.and_then(|basis| basis.flags);
            let at = [classified, told, reported]
                .map(|position| position.map_or(0, |position| position.sequence));
            if at.iter().all(|&at| at >= sequence) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("{at:?}"))
            }
        })
        .await;
        Ok(())
    }

    /// Waits until the logs `flags` and `devices` are applied up to these sequences, by classification and
    /// reporting. The CSPs' logs have numbers of their own once a flagged Device got another supplier.
    pub(crate) async fn applies(&self, flags: u64, devices: u64) -> Result<()> {
        let operator = Clients::of(&self.folder, "operator")?;
        let mut classification = operator.classification()?;
        let mut reporting = operator.reporting()?;
        let sequence = |position: Option<Position>| position.map_or(0, |at| at.sequence);
        wait_until(
            &format!("{flags} and {devices} to be applied"),
            async || {
                let ask = BatchClassifyRequest::default();
                let answer = classification.batch_classify(ask).await?.into_inner();
                let classified = answer.basis.and_then(|basis| basis.position);
                let ask = GetObligationReportRequest::default();
                let answer = reporting.get_obligation_report(ask).await?.into_inner();
                let basis = answer.basis.unwrap_or_default();
                let at = [classified, basis.flags, basis.devices].map(sequence);
                if at[..2].iter().all(|&at| at >= flags) && at[2] >= devices {
                    Ok(())
                } else {
                    Err(anyhow::anyhow!("{at:?}"))
                }
            },
        )
        .await;
        Ok(())
    }

    async fn serves(&self, service: Service) -> Result<()> {
        let mut health = Clients::of(&self.folder, "operator")?.health(service)?;
        wait_until(service.name(), async || {
            let answer = health.check(HealthCheckRequest::default()).await?;
            match answer.get_ref().status() {
                ServingStatus::Serving => Ok(()),
                status => Err(anyhow::anyhow!("{status:?}")),
            }
        })
        .await;
        Ok(())
    }

    /// Ends the services; fails if they did not end in good order.
    pub(crate) async fn stop(self) -> Result<()> {
        let clean = self.mesh.stop().await;
        ensure!(clean, "the services did not end in good order");
        Ok(())
    }
}

/// How `identity`, whose certificate is in the folder `home`, reaches a service.
pub(crate) fn endpoint(
    home: &Path,
    service: Service,
    address: &str,
    identity: &str,
) -> Result<Endpoint> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(authority_in(home)?)
        .domain_name(service.name())
        .identity(identity_in(home, identity)?);
    Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
}

fn authority_in(home: &Path) -> Result<Certificate> {
    let file = home.join("authority").join(CA_CERTIFICATE_FILE);
    Ok(Certificate::from_pem(std::fs::read(file)?))
}

fn identity_in(home: &Path, name: &str) -> Result<Identity> {
    let files = IssuedPaths::of(&home.join("certificates"), name);
    let certificate = std::fs::read(files.certificate)?;
    Ok(Identity::from_pem(certificate, std::fs::read(files.key)?))
}
