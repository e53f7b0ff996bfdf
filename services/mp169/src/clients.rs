//! The services as one identity sees them.

use std::time::Duration;

use anyhow::Result;
use mesh_api::audit::v1::audit_service_client::AuditServiceClient;
use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::operations::v1::operations_service_client::OperationsServiceClient;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_rpc::{ClientOptions, MeshChannel, Tls, connect};
use tonic_health::pb::health_client::HealthClient;

use crate::home::Folder;
use crate::service::Service;

/// The most octets of an answer about messages: hardly more than a request has, which may name Devices
/// without end.
const DECISIONS: usize = 32 << 20;

/// The most octets of a page of records, each of which may name a thousand Devices.
const RECORDS: usize = 64 << 20;

/// One identity's way to the services.
#[derive(Debug, Clone)]
pub struct Clients {
    folder: Folder,
    tls: Tls,
    deadline: Duration,
}

impl Clients {
    /// The identity whose certificate is named `identity`, such as `ALBION` or `operator`.
    pub fn of(folder: &Folder, identity: &str) -> Result<Self> {
        let tls = folder.tls(identity)?;
        Ok(Self {
            folder: folder.clone(),
            tls,
            deadline: Duration::from_secs(10),
        })
    }

    /// Our certificate, and whom we trust.
    pub(crate) const fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How the service at `address` is: one of several replicas, perhaps.
    pub(crate) fn operations_at(
        &self,
        service: Service,
        address: &str,
        deadline: Duration,
    ) -> OperationsServiceClient<MeshChannel> {
        let options = ClientOptions::new(service.name(), address, self.tls.clone());
        OperationsServiceClient::new(connect(ClientOptions {
            deadline,
            ..options
        }))
    }

    /// A channel to a service; it connects at the first call.
    pub fn channel(&self, service: Service) -> Result<MeshChannel> {
        let address = self.folder.address(service)?;
        let options = ClientOptions::new(service.name(), address, self.tls.clone());
        Ok(connect(ClientOptions {
            deadline: self.deadline,
            ..options
        }))
    }

    /// Parties, at registration.
    pub fn parties(&self) -> Result<PartyServiceClient<MeshChannel>> {
        Ok(PartyServiceClient::new(
            self.channel(Service::Registration)?,
        ))
    }

    /// Devices and registrations, at registration.
    pub fn devices(&self) -> Result<DeviceServiceClient<MeshChannel>> {
        Ok(DeviceServiceClient::new(
            self.channel(Service::Registration)?,
        ))
    }

    /// Who may act on a Device, at registration.
    pub fn authority(&self) -> Result<AuthorityServiceClient<MeshChannel>> {
        Ok(AuthorityServiceClient::new(
            self.channel(Service::Registration)?,
        ))
    }

    /// Flags.
    pub fn flags(&self) -> Result<FlagServiceClient<MeshChannel>> {
        Ok(FlagServiceClient::new(self.channel(Service::FlagRegistry)?))
    }

    /// Classification.
    pub fn classification(&self) -> Result<ClassificationServiceClient<MeshChannel>> {
        let client = ClassificationServiceClient::new(self.channel(Service::Classification)?);
        Ok(client.max_decoding_message_size(DECISIONS))
    }

    /// The CSPs' streams.
    pub fn csp(&self) -> Result<CspNotificationServiceClient<MeshChannel>> {
        Ok(CspNotificationServiceClient::new(
            self.channel(Service::CspNotification)?,
        ))
    }

    /// Reports.
    pub fn reporting(&self) -> Result<ReportingServiceClient<MeshChannel>> {
        Ok(ReportingServiceClient::new(
            self.channel(Service::Reporting)?,
        ))
    }

    /// What is on record of a service's calls.
    pub fn audit(&self, service: Service) -> Result<AuditServiceClient<MeshChannel>> {
        Ok(AuditServiceClient::new(self.channel(service)?).max_decoding_message_size(RECORDS))
    }

    /// How a service is.
    pub fn operations(&self, service: Service) -> Result<OperationsServiceClient<MeshChannel>> {
        Ok(OperationsServiceClient::new(self.channel(service)?))
    }

    /// The health of a service.
    pub fn health(&self, service: Service) -> Result<HealthClient<MeshChannel>> {
        Ok(HealthClient::new(self.channel(service)?))
    }
}
