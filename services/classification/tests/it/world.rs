//! The running service with all that it follows, and short ways to speak to it.

use std::net::SocketAddr;

use classification::codes::{AlertCode, MessageCode};
use classification::policy::Policy;
use classification::{Deps, run, samples};
use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code as SaidCode;
use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::position_to_wire;
use mesh_api::status::reason_of;
use mesh_pki::Issued;
use mesh_rpc::{ClientOptions, Drained, MeshChannel, Tls, TlsPem, connect};
use mesh_testkit::{TempDir, certificates, temp_dir, wait_until};
use mesh_types::Position;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::upstream::{FlagLog, SUPPLIER, Upstream, registration};

pub(crate) const METER: &str = "00-DB-12-34-56-78-90-A0";
pub(crate) const GAS_METER: &str = "00-DB-12-34-56-78-90-A1";
pub(crate) const GPF: &str = "00-DB-12-34-56-78-90-A3";
pub(crate) const OTHER_GPF: &str = "00-DB-12-34-56-78-90-B3";
pub(crate) const OTHER_METER: &str = "00-DB-12-34-56-78-90-C0";

pub(crate) type Client = ClassificationServiceClient<MeshChannel>;

pub(crate) struct World {
    pub(crate) flags: FlagLog,
    /// Where the service looks for the flag registry.
    flags_address: SocketAddr,
    /// Where nobody answers yet.
    closed: Option<TcpListener>,
    flag_registry: Option<Upstream>,
    address: String,
    stop: CancellationToken,
    ended: JoinHandle<Drained>,
    /// Where the audit is.
    folder: TempDir,
}

impl World {
    /// A service that has loaded its flags: there are none.
    pub(crate) async fn start() -> Self {
        Self::with(FlagLog::new().await).await
    }

    /// A service that has loaded the flags in `flags`.
    pub(crate) async fn with(flags: FlagLog) -> Self {
        let mut world = Self::not_loaded(flags).await;
        world.open().await;
        world
    }

    /// A service whose flag registry does not answer yet.
    pub(crate) async fn not_loaded(flags: FlagLog) -> Self {
        let parties = listener().await;
        let registration_address = parties.local_addr().unwrap().to_string();
        registration(parties).await;
        let for_flags = listener().await;
        let flags_address = for_flags.local_addr().unwrap();
        let own = listener().await;
        let address = own.local_addr().unwrap().to_string();
        let tls = tls(&certificates().internal("classification"));
        let folder = temp_dir();
        let audit = folder.path().join("classification-audit.db");
        let deps = Deps::new(
            mesh_store::Database::existing_or_new(format!("sqlite://{}", audit.display())),
            &registration_address,
            &flags_address.to_string(),
            tls,
        );
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let ended = tokio::spawn(async move { run(deps, own, stopped).await.unwrap() });
        Self {
            flags,
            flags_address,
            closed: Some(for_flags),
            flag_registry: None,
            address,
            stop,
            ended,
            folder,
        }
    }

    /// Lets the flag registry answer, and waits until its flags are loaded.
    pub(crate) async fn open(&mut self) {
        let listener = self.closed.take().unwrap();
        self.flag_registry = Some(self.flags.serve(listener).await);
        wait_until("the flags are loaded", async || match self.health().await {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Stops the flag registry.
    pub(crate) async fn cut(&mut self) {
        self.flag_registry.take().unwrap().stop().await;
    }

    /// Starts the flag registry again at its address, on `flags`.
    pub(crate) async fn reopen(&mut self, flags: FlagLog) {
        self.flags = flags;
        let listener = TcpListener::bind(self.flags_address).await.unwrap();
        self.flag_registry = Some(self.flags.serve(listener).await);
    }

    /// Tells the service to stop; the result comes when it has drained.
    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.cancel();
        let (ended, folder) = (self.ended, self.folder);
        tokio::spawn(async move {
            let drained = ended.await.unwrap();
            drop(folder);
            drained
        })
    }

    pub(crate) fn channel(&self, issued: &Issued) -> MeshChannel {
        let (address, tls) = (self.address.as_str(), tls(issued));
        connect(ClientOptions::new("classification", address, tls))
    }

    pub(crate) async fn health(&self) -> ServingStatus {
        let channel = self.channel(&certificates().internal("operator"));
        let request = HealthCheckRequest {
            service: classification::SERVICE.to_owned(),
        };
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        answer.into_inner().status()
    }

    pub(crate) fn internal(&self, role: &str) -> Client {
        let channel = self.channel(&certificates().internal(role));
        Client::new(channel).max_encoding_message_size(64 << 20)
    }

    pub(crate) fn dsp(&self) -> Client {
        self.internal("dsp")
    }

    pub(crate) fn supplier(&self) -> Client {
        let issued = certificates().organisation(SUPPLIER.parse().unwrap());
        Client::new(self.channel(&issued))
    }

    /// The answer about one message, by flags that show at least `position`.
    pub(crate) async fn classify(
        &self,
        message: wire::Message,
        position: Option<&Position>,
    ) -> Result<wire::ClassifyResponse, Status> {
        let request = wire::ClassifyRequest {
            message: Some(message),
            at_least: position.map(position_to_wire),
        };
        let answer = self.dsp().classify(request).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn decide(
        &self,
        message: wire::Message,
        position: Option<&Position>,
    ) -> wire::Decision {
        let answer = self.classify(message, position).await;
        answer.unwrap().decision.unwrap()
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

pub(crate) fn tls(issued: &Issued) -> Tls {
    Tls::from_pem(TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    })
    .unwrap()
}

/// A raw message that says itself what it is.
pub(crate) fn raw(content: Content) -> wire::Message {
    wire::Message {
        content: Some(content),
        origin: 0,
    }
}

/// A request for `device` as a DUIS document.
pub(crate) fn duis(srv: &str, device: &str) -> wire::Message {
    let supplier = SUPPLIER.parse().unwrap();
    let (srv, device) = (srv.parse().unwrap(), device.parse().unwrap());
    let text = samples::duis_request(&Policy::builtin(), srv, supplier, device, 1);
    raw(Content::DuisXml(text.unwrap().into()))
}

/// A half-hourly read of electricity.
pub(crate) fn read(device: &str) -> wire::Message {
    duis("4.8.1", device)
}

/// A tamper alert as GBCS.
pub(crate) fn alert(device: &str) -> wire::Message {
    let alert = samples::gbcs_alert(
        MessageCode(0x1000),
        AlertCode(0x8F3F),
        samples::AlertEncoding::Gbz,
        device.parse().unwrap(),
        SUPPLIER.parse().unwrap(),
        1,
    );
    raw(Content::Gbcs(alert.octets().into()))
}

pub(crate) fn structured(device: &str, code: SaidCode) -> wire::Message {
    wire::Message {
        content: Some(Content::Structured(wire::StructuredMessage {
            device_ids: vec![device.to_owned()],
            code: Some(code),
            ..wire::StructuredMessage::default()
        })),
        origin: wire::Origin::OnDemand.into(),
    }
}

/// The code and reason of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, ErrorReason) {
    let status = answer.unwrap_err();
    let reason = reason_of(&status);
    let reason = reason.unwrap_or_else(|| panic!("a refusal without a reason: {status:?}"));
    (status.code(), reason)
}
