//! A server of the mesh, with the whole chain, that serves one log to the CSP `north`.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use mesh_api::common::v1::{
    FollowStart, LogEntry, SnapshotStart, follow_start, stream_frame::Frame,
};
use mesh_api::convert::position_from_wire;
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::csp_notification::v1::csp_notification_service_server::{
    CspNotificationService, CspNotificationServiceServer,
};
use mesh_api::registration::v1 as registration;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::registration::v1::party_service_server::PartyServiceServer;
use mesh_authz::{
    Authority, AuthorityError, AuthoritySource, Authorization, AuthorizeLayer, Authorizer,
    Directory, Role, Rules,
};
use mesh_follow::{Body, Feed, FeedSettings, FollowResponse as _, FrameStream, Start};
use mesh_rpc::audit::Unrecorded;
use mesh_rpc::{ClientOptions, Draining, Health, MeshChannel, ServeOptions, Tls, TlsPem, connect};
use mesh_testkit::{Certificates, LIMIT, certificates, wait_until};
use mesh_types::{DeviceId, PartyId, Position, Sequence, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::TestLog;
use super::log::Gate;
use super::parties::Parties;

const SERVICES: [&str; 2] = [
    "mp169.csp_notification.v1.CspNotificationService",
    "mp169.registration.v1.PartyService",
];
const CSP: &str = "90-B3-D5-1F-30-02-00-00";
/// An entity that no certificate here carries.
pub(crate) const OTHER_CSP: &str = "90-B3-D5-1F-30-02-00-01";

/// The party that is the CSP `north`.
pub(crate) fn csp_party(status: registration::PartyStatus) -> registration::Party {
    registration::Party {
        party_id: "NORTH-CSP".into(),
        status: status.into(),
        identities: vec![registration::PartyIdentity {
            entity_id: CSP.into(),
            roles: vec![Role::Csp.into()],
        }],
        csp_id: "north".into(),
        ..registration::Party::default()
    }
}

/// A running server.
pub(crate) struct TestServer {
    address: SocketAddr,
    pub(crate) directory: Directory,
    pub(crate) tls: Tls,
    pub(crate) gate: Gate,
    /// Cancelled, streams end in good order.
    pub(crate) draining: CancellationToken,
    live: Arc<()>,
    _stop: DropGuard,
}

impl TestServer {
    pub(crate) async fn start(log: &TestLog) -> Self {
        Self::start_with(log, FeedSettings::default(), Gate::open()).await
    }

    pub(crate) async fn start_with(log: &TestLog, settings: FeedSettings, gate: Gate) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let directory = Directory::not_loaded();
        directory
            .load(&[csp_party(registration::PartyStatus::Active)])
            .unwrap();
        let rules = Rules::of_services(&SERVICES).unwrap();
        let authorizer = Authorizer::new(rules, directory.clone(), Arc::new(Nobody));
        let draining = CancellationToken::new();
        let live = Arc::new(());
        let feed = Feed::new(
            log.store.clone(),
            log.name.clone(),
            Arc::new(SystemClock),
            draining.clone(),
        );
        let handlers = Handlers {
            feed: feed.with_settings(settings),
            log: log.clone(),
            gate: gate.clone(),
            live: Arc::clone(&live),
        };
        let tls = tls(&certificates().internal("csp-notification"));
        let options = ServeOptions::new(
            "csp-notification",
            listener,
            tls.clone(),
            AuthorizeLayer::new(authorizer),
            Arc::new(Unrecorded),
            Health::new(&[]),
            Draining::new(),
        );
        let parties = Parties(handlers.feed.clone());
        let routes = Routes::new(CspNotificationServiceServer::new(handlers));
        let routes = routes.add_service(PartyServiceServer::new(parties));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { mesh_rpc::serve(options, routes, stopped).await });
        Self {
            address,
            directory,
            tls,
            gate,
            draining,
            live,
            _stop: stop.drop_guard(),
        }
    }

    /// A connection of its own, as the CSP with a certificate of `authority`, which is trusted alone.
    fn channel_with(&self, authority: &Certificates) -> MeshChannel {
        let issued = authority.organisation(CSP.parse().unwrap());
        let tls = Tls::from_pem(pem(&issued, authority.trust_pem())).unwrap();
        let address = self.address.to_string();
        connect(ClientOptions::new("csp-notification", address, tls))
    }

    /// The log's other service, for one of the mesh's own roles.
    pub(crate) fn parties(&self, role: &str) -> PartyServiceClient<MeshChannel> {
        let tls = tls(&certificates().internal(role));
        let address = self.address.to_string();
        let channel = connect(ClientOptions::new("csp-notification", address, tls));
        PartyServiceClient::new(channel)
    }

    /// Opens a stream on a connection of its own.
    pub(crate) async fn open(&self, start: Start) -> Result<Reader, Status> {
        self.open_with(certificates(), start).await
    }

    /// The same with a certificate of `authority`.
    pub(crate) async fn open_with(
        &self,
        authority: &Certificates,
        start: Start,
    ) -> Result<Reader, Status> {
        use wire::follow_flag_changes_request::Start as Asked;
        let start = match start {
            Start::After(after) => Asked::After(mesh_api::convert::position_to_wire(&after)),
            Start::Snapshot => Asked::Snapshot(SnapshotStart::default()),
            Start::SnapshotAt(position) => Asked::Snapshot(SnapshotStart {
                position: Some(mesh_api::convert::position_to_wire(&position)),
            }),
        };
        let request = wire::FollowFlagChangesRequest {
            csp_id: "north".into(),
            start: Some(start),
            seen: None,
        };
        let mut client = CspNotificationServiceClient::new(self.channel_with(authority));
        let stream = client.follow_flag_changes(request).await?.into_inner();
        Ok(Reader(stream))
    }

    /// Waits until so many streams run on the server.
    pub(crate) async fn live(&self, expected: usize) {
        wait_until("the number of streams", async || {
            // One is the server's, one the handlers'.
            let live = Arc::strong_count(&self.live) - 2;
            if live == expected { Ok(()) } else { Err(live) }
        })
        .await;
    }
}

pub(crate) fn tls(issued: &mesh_pki::Issued) -> Tls {
    Tls::from_pem(pem(issued, certificates().trust_pem())).unwrap()
}

pub(crate) fn pem(issued: &mesh_pki::Issued, trust: &str) -> TlsPem {
    TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: trust.to_owned(),
    }
}

struct Nobody;

#[async_trait]
impl AuthoritySource for Nobody {
    async fn authorities(
        &self,
        _party: &PartyId,
        _devices: &[DeviceId],
        _at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        Err(AuthorityError::Unreachable)
    }
}

struct Handlers {
    feed: Feed,
    log: TestLog,
    gate: Gate,
    live: Arc<()>,
}

#[tonic::async_trait]
impl CspNotificationService for Handlers {
    type FollowFlagChangesStream = FrameStream<wire::FollowFlagChangesResponse>;

    async fn follow_flag_changes(
        &self,
        request: Request<wire::FollowFlagChangesRequest>,
    ) -> Result<Response<Self::FollowFlagChangesStream>, Status> {
        use wire::follow_flag_changes_request::Start as Asked;
        let authorization = Authorization::of(&request)?;
        let start = match request.into_inner().start.unwrap() {
            Asked::After(after) => follow_start::Start::After(after),
            Asked::Snapshot(snapshot) => follow_start::Start::Snapshot(snapshot),
            Asked::Acknowledged(_) => return Err(Status::unimplemented("")),
        };
        let start = mesh_follow::Asked::from_wire(Some(FollowStart {
            start: Some(start),
            seen: None,
        }))?;
        let pages = self.log.pages(&self.live, &self.gate);
        let stream = self.feed.serve(start, authorization, pages).await?;
        Ok(Response::new(stream))
    }

    async fn acknowledge_flag_changes(
        &self,
        _request: Request<wire::AcknowledgeFlagChangesRequest>,
    ) -> Result<Response<wire::AcknowledgeFlagChangesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_subscription(
        &self,
        _request: Request<wire::GetSubscriptionRequest>,
    ) -> Result<Response<wire::GetSubscriptionResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_subscriptions(
        &self,
        _request: Request<wire::ListSubscriptionsRequest>,
    ) -> Result<Response<wire::ListSubscriptionsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_delivery_report(
        &self,
        _request: Request<wire::GetDeliveryReportRequest>,
    ) -> Result<Response<wire::GetDeliveryReportResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A message of a stream, as tests look at it.
#[derive(Debug)]
pub(crate) enum Got {
    Hello(Position),
    Part(Vec<wire::ReducedDevice>),
    Complete {
        position: Position,
        hash: Vec<u8>,
        items: u64,
    },
    Entries(Vec<LogEntry>),
    Checkpoint(Sequence),
    Draining(Option<Sequence>),
}

/// A stream, read.
pub(crate) struct Reader(Streaming<wire::FollowFlagChangesResponse>);

impl Reader {
    /// The next message; `Ok(None)` if the stream ended with `OK`.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Got>, Status> {
        let message = tokio::time::timeout(LIMIT, self.0.message()).await;
        let Some(message) = message.expect("a message before the limit")? else {
            return Ok(None);
        };
        let read = |position: Option<_>| position_from_wire(&position.unwrap()).unwrap();
        Ok(Some(match message.into_body().unwrap() {
            Body::Snapshot(part) => Got::Part(part.devices),
            Body::Frame(Frame::Hello(hello)) => Got::Hello(read(hello.head)),
            Body::Frame(Frame::Entries(entries)) => Got::Entries(entries.entries),
            Body::Frame(Frame::Checkpoint(at)) => Got::Checkpoint(read(at.position).sequence),
            Body::Frame(Frame::SnapshotComplete(complete)) => Got::Complete {
                position: read(complete.position),
                hash: complete.hash,
                items: complete.items,
            },
            Body::Frame(Frame::Resync(_)) => panic!("a resync of a log that is made of no other"),
            Body::Frame(Frame::Draining(draining)) => {
                let resume = draining.resume_after;
                Got::Draining(resume.map(|position| position.sequence))
            }
        }))
    }

    pub(crate) async fn next(&mut self) -> Got {
        self.try_next().await.unwrap().expect("a further message")
    }

    /// The first that comes and is no checkpoint.
    pub(crate) async fn news(&mut self) -> Result<Option<Got>, Status> {
        loop {
            match self.try_next().await {
                Ok(Some(Got::Checkpoint(_))) => {}
                news => return news,
            }
        }
    }

    /// The sequences of the entries up to the checkpoint at `at`.
    pub(crate) async fn sequences_until(&mut self, at: Sequence) -> Vec<Sequence> {
        let mut found = Vec::new();
        loop {
            match self.next().await {
                Got::Entries(entries) => found.extend(sequences(&entries)),
                Got::Checkpoint(position) if position >= at => return found,
                _ => {}
            }
        }
    }
}

pub(crate) fn sequences(entries: &[LogEntry]) -> impl Iterator<Item = Sequence> {
    entries
        .iter()
        .map(|entry| entry.position.as_ref().unwrap().sequence)
}
