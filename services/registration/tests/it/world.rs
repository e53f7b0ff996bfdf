//! A running service, its callers, and records to send it.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::status::reason_of;
use mesh_audit::testing::OnDisk;
use mesh_pki::Issued;
use mesh_rpc::{ClientOptions, Drained, MeshChannel, Tls, TlsPem, connect};
use mesh_testkit::{TempDir, certificates, temp_dir, wait_until};
use mesh_types::{Clock, ManualClock, Mpan, Mprn, Timestamp};
use registration::{Deps, RunError, run};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// The second at which every test begins.
pub(crate) const NOW: i64 = 1_700_000_000;
/// The second since which the inventory holds.
pub(crate) const SINCE: i64 = NOW - 1_000_000;

pub(crate) const ESME: &str = "00-DB-12-34-56-78-90-A0";
pub(crate) const GSME: &str = "00-DB-12-34-56-78-90-A1";
pub(crate) const CHF: &str = "00-DB-12-34-56-78-90-A2";
pub(crate) const GPF: &str = "00-DB-12-34-56-78-90-A3";
pub(crate) const TWIN: &str = "00-DB-12-34-56-78-90-B0";
pub(crate) const EXPORT_ONLY: &str = "00-DB-12-34-56-78-90-C0";

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    address: String,
    stop: CancellationToken,
    server: JoinHandle<Result<Drained, RunError>>,
    folder: TempDir,
}

impl World {
    /// An empty service.
    pub(crate) async fn start() -> Self {
        let folder = temp_dir();
        let clock = Arc::new(ManualClock::new(at(NOW)));
        let url = format!(
            "sqlite://{}",
            folder.path().join("registration.db").display()
        );
        let mut deps = Deps::new(
            mesh_store::Database::existing_or_new(&url),
            tls(&certificates().internal("registration")),
        );
        deps.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let server = tokio::spawn(run(deps, listener, stop.clone().cancelled_owned()));
        Self {
            clock,
            address,
            stop,
            server,
            folder,
        }
    }

    /// One with the suppliers ACME, BOLT and GAS, and a Device of each kind that matters, all
    /// supplied since [`SINCE`]: the meters by ACME and GAS, the second element of the twin by BOLT.
    pub(crate) async fn with_inventory() -> Self {
        let world = Self::start().await;
        let rows = inventory();
        for result in world.import(rows).await.unwrap() {
            assert_eq!(
                result.outcome(),
                wire::row_result::Outcome::Recorded,
                "{result:?}"
            );
        }
        world
    }

    fn channel(&self, certificate: &Issued) -> MeshChannel {
        connect(ClientOptions::new(
            "registration",
            self.address.clone(),
            tls(certificate),
        ))
    }

    pub(crate) fn parties(&self, role: &str) -> PartyServiceClient<MeshChannel> {
        PartyServiceClient::new(self.channel(&certificates().internal(role)))
    }

    pub(crate) fn devices(&self, role: &str) -> DeviceServiceClient<MeshChannel> {
        DeviceServiceClient::new(self.channel(&certificates().internal(role)))
    }

    /// Calls as the organisation with this Entity Identifier.
    pub(crate) fn devices_as(&self, entity: &str) -> DeviceServiceClient<MeshChannel> {
        let certificate = certificates().organisation(entity.parse().unwrap());
        DeviceServiceClient::new(self.channel(&certificate))
    }

    /// Calls as the organisation with this Entity Identifier.
    pub(crate) fn parties_as(&self, entity: &str) -> PartyServiceClient<MeshChannel> {
        let certificate = certificates().organisation(entity.parse().unwrap());
        PartyServiceClient::new(self.channel(&certificate))
    }

    pub(crate) fn authority(&self) -> AuthorityServiceClient<MeshChannel> {
        AuthorityServiceClient::new(self.channel(&certificates().internal("flag-registry")))
    }

    pub(crate) async fn ask(&self, device: &str) -> wire::Authority {
        self.ask_at(device, None).await.authority.unwrap()
    }

    pub(crate) async fn ask_at(
        &self,
        device: &str,
        seconds: Option<i64>,
    ) -> wire::GetAuthorityResponse {
        let request = wire::GetAuthorityRequest {
            device_id: device.to_owned(),
            valid_time: seconds.and_then(instant),
            ..Default::default()
        };
        self.authority()
            .get_authority(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Imports rows in one request.
    pub(crate) async fn import(
        &self,
        rows: Vec<wire::InventoryRow>,
    ) -> Result<Vec<wire::RowResult>, Status> {
        let requests = futures::stream::iter([wire::ImportInventoryRequest {
            rows,
            validate_only: false,
        }]);
        let mut devices = self.devices("registration-data");
        let mut responses = devices.import_inventory(requests).await?.into_inner();
        let response = responses
            .message()
            .await?
            .expect("a response for the request");
        assert!(responses.message().await?.is_none());
        Ok(response.results)
    }

    pub(crate) async fn change(
        &self,
        mpxn: String,
        to: &str,
        start: Option<i64>,
    ) -> Result<wire::ChangeSupplierResponse, Status> {
        let request = wire::ChangeSupplierRequest {
            request_id: request_id(),
            mpxn,
            party_id: to.to_owned(),
            start_time: start.and_then(instant),
        };
        let changed = self.devices("operator").change_supplier(request).await?;
        Ok(changed.into_inner())
    }

    pub(crate) async fn set_status(&self, party: &str, status: wire::PartyStatus) {
        let request = wire::SetPartyStatusRequest {
            request_id: request_id(),
            party_id: party.to_owned(),
            status: status.into(),
            reason: "test".to_owned(),
        };
        self.parties("operator")
            .set_party_status(request)
            .await
            .unwrap();
    }

    /// Reads a Device as an organisation until the answer is as told: the chain learns of parties a
    /// moment after their change.
    pub(crate) async fn wait_for_get(
        &self,
        entity: &str,
        device: &str,
        reason: Option<ErrorReason>,
    ) {
        let devices = self.devices_as(entity);
        wait_until("the chain to know the party", async || {
            let request = wire::GetDeviceRequest {
                device_id: device.to_owned(),
                ..Default::default()
            };
            let answer = devices.clone().get_device(request).await;
            let found = answer.err().map(|status| reason_of(&status));
            if found == reason.map(Some) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }

    /// The database of the audit.
    pub(crate) fn audit_path(&self) -> PathBuf {
        self.folder.path().join("registration-audit.db")
    }

    /// Stops the service, which must come to a clean end.
    pub(crate) async fn stop(self) {
        self.stopped().await;
    }

    /// The same; gives what is on record then.
    pub(crate) async fn stopped(self) -> OnDisk {
        let audit = self.audit_path();
        self.stop.cancel();
        assert!(self.server.await.unwrap().unwrap().clean);
        OnDisk::copy(&audit, temp_dir().path()).await
    }
}

fn tls(certificate: &Issued) -> Tls {
    Tls::from_pem(TlsPem {
        certificate: certificate.certificate_pem().to_owned(),
        key: certificate.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    })
    .unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn instant(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(crate) fn refused(status: &Status) -> (Code, Option<ErrorReason>) {
    (status.code(), reason_of(status))
}

pub(crate) fn mpan(n: u64) -> String {
    Mpan::with_check_digit(120_000_000_000 + n)
        .unwrap()
        .to_string()
}

pub(crate) fn mprn(n: u64) -> String {
    Mprn::with_check_digits(1_000_000 + n).unwrap().to_string()
}

/// The Entity Identifier of the party with this number.
pub(crate) fn entity(n: u8) -> String {
    format!("90-B3-D5-1F-30-00-00-{n:02X}")
}

pub(crate) fn party(id: &str, n: u8, roles: &[Role]) -> wire::Party {
    wire::Party {
        party_id: id.to_owned(),
        name: format!("{id} Ltd"),
        identities: vec![wire::PartyIdentity {
            entity_id: entity(n),
            roles: roles.iter().map(|&role| role.into()).collect(),
        }],
        ..wire::Party::default()
    }
}

pub(crate) fn device(id: &str, device_type: DeviceType) -> wire::Device {
    let meter = matches!(device_type, DeviceType::Esme | DeviceType::Gsme);
    wire::Device {
        device_id: id.to_owned(),
        r#type: device_type.into(),
        smets_version: meter.then_some(wire::SmetsVersion { major: 2, minor: 0 }),
        smi_status: wire::SmiStatus::Commissioned.into(),
        smi_status_time: instant(SINCE),
        communications_hub_id: if device_type == DeviceType::Chf {
            ""
        } else {
            CHF
        }
        .to_owned(),
        csp_id: if device_type == DeviceType::Chf {
            "north"
        } else {
            ""
        }
        .to_owned(),
        ..wire::Device::default()
    }
}

pub(crate) fn registered(mpxn: &str, party: &str, start: i64) -> wire::Registration {
    wire::Registration {
        mpxn: mpxn.to_owned(),
        party_id: party.to_owned(),
        start_time: instant(start),
        ..wire::Registration::default()
    }
}

pub(crate) fn row(row: impl Into<Row>) -> wire::InventoryRow {
    wire::InventoryRow {
        row: Some(row.into().0),
    }
}

/// What a row can hold.
pub(crate) struct Row(wire::inventory_row::Row);

macro_rules! rows {
    ($($kind:ident),*) => {
        $(impl From<wire::$kind> for Row {
            fn from(record: wire::$kind) -> Self {
                Self(wire::inventory_row::Row::$kind(record))
            }
        })*
    };
}

rows!(Party, Device, Registration);

fn inventory() -> Vec<wire::InventoryRow> {
    let electricity = [Role::ImportSupplier, Role::ExportSupplier];
    let esme = wire::Device {
        import_mpan: mpan(1),
        export_mpan: mpan(2),
        ..device(ESME, DeviceType::Esme)
    };
    let twin = wire::Device {
        import_mpan: mpan(3),
        secondary_import_mpan: mpan(4),
        ..device(TWIN, DeviceType::Esme)
    };
    let export_only = wire::Device {
        export_mpan: mpan(5),
        ..device(EXPORT_ONLY, DeviceType::Esme)
    };
    let gsme = wire::Device {
        mprn: mprn(1),
        gas_proxy_function_id: GPF.to_owned(),
        ..device(GSME, DeviceType::Gsme)
    };
    vec![
        row(party("ACME", 1, &electricity)),
        row(party("BOLT", 2, &electricity)),
        row(party("GAS", 3, &[Role::GasSupplier])),
        row(device(CHF, DeviceType::Chf)),
        row(device(GPF, DeviceType::Gpf)),
        row(esme),
        row(twin),
        row(export_only),
        row(gsme),
        row(registered(&mpan(1), "ACME", SINCE)),
        row(registered(&mpan(2), "BOLT", SINCE)),
        row(registered(&mpan(3), "ACME", SINCE)),
        row(registered(&mpan(4), "BOLT", SINCE)),
        row(registered(&mpan(5), "BOLT", SINCE)),
        row(registered(&mprn(1), "GAS", SINCE)),
    ]
}
