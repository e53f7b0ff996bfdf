//! The services that this one follows, each a log that a test appends to.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::flag_service_server::{FlagService, FlagServiceServer};
use mesh_api::registration::v1 as parties;
use mesh_api::registration::v1::party_service_server::{PartyService, PartyServiceServer};
use mesh_authz::{
    Authority, AuthorityError, AuthoritySource, Authorization, AuthorizeLayer, Authorizer,
    Directory, Rules,
};
use mesh_follow::{Asked, Feed, FrameStream, SnapshotPage, SnapshotPages};
use mesh_pki::Issued;
use mesh_rpc::audit::Unrecorded;
use mesh_rpc::{Draining, Health, ServeOptions, Tls, TlsPem};
use mesh_store::{Migrator, Store, StoreError, log};
use mesh_testkit::{LIMIT, TempDir, certificates};
use mesh_types::{DeviceId, LogName, PartyId, Position, Sequence, SystemClock, Timestamp};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::history::Flags;

/// A log and the service that serves it.
pub(crate) struct Neighbour {
    pub(crate) store: Store,
    pub(crate) log: LogName,
    pub(crate) address: SocketAddr,
    kind: Kind,
    serving: Serving,
    _folder: TempDir,
}

/// What tells one neighbour from another.
#[derive(Clone, Copy)]
struct Kind {
    role: &'static str,
    service: &'static str,
    routes: fn(Feed, Store) -> Routes,
}

/// A neighbour that runs.
struct Serving {
    stop: DropGuard,
    ended: JoinHandle<()>,
}

impl Neighbour {
    /// The service `flag-registry`, whose log has no event yet.
    pub(crate) async fn flag_registry() -> Self {
        let kind = Kind {
            role: "flag-registry",
            service: "mp169.flag_registry.v1.FlagService",
            routes: |feed, store| {
                Routes::new(FlagServiceServer::new(FlagRegistry(feed, Flags(store))))
            },
        };
        Self::start(kind, "flags").await
    }

    /// The service `registration`, whose log has no event yet.
    pub(crate) async fn registration() -> Self {
        let kind = Kind {
            role: "registration",
            service: "mp169.registration.v1.PartyService",
            routes: |feed, store| Routes::new(PartyServiceServer::new(Registration(feed, store))),
        };
        Self::start(kind, "parties").await
    }

    async fn start(kind: Kind, log: &str) -> Self {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        let none = Migrator::with_migrations(Vec::new());
        let store = Store::open(&mesh_store::Database::existing_or_new(&url), &none)
            .await
            .unwrap();
        let log: LogName = log.parse().unwrap();
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
        tx.create_log(&log, log::random_epoch()).await.unwrap();
        tx.commit().await.unwrap();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(kind, listener, &store, &log);
        Self {
            store,
            log,
            address,
            kind,
            serving,
            _folder: folder,
        }
    }

    /// Stops serving, does something to what is stored, and serves again at the same address.
    pub(crate) async fn restart(&mut self, between: impl AsyncFnOnce(&Store, &LogName)) {
        self.serving.end().await;
        between(&self.store, &self.log).await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = serve(self.kind, listener, &self.store, &self.log);
    }

    /// Appends an event, and gives its sequence.
    pub(crate) async fn append(&self, event: &impl Message) -> u64 {
        let mut tx = self
            .store
            .begin_write(Timestamp::from_micros(1))
            .await
            .unwrap();
        tx.lock(&self.log).await.unwrap();
        let stamp = tx.append(&self.log, |_| event.encode_to_vec()).unwrap();
        tx.commit().await.unwrap();
        stamp.position.sequence
    }
}

impl Serving {
    /// Stops, and waits until nobody is served any more.
    async fn end(&mut self) {
        let gone = CancellationToken::new().drop_guard();
        drop(std::mem::replace(&mut self.stop, gone));
        let ended = tokio::time::timeout(LIMIT, &mut self.ended).await;
        ended.expect("an end before the limit").unwrap();
    }
}

fn serve(kind: Kind, listener: TcpListener, store: &Store, log: &LogName) -> Serving {
    let draining = Draining::new();
    let (clock, token) = (Arc::new(SystemClock), draining.token());
    let feed = Feed::new(store.clone(), log.clone(), clock, token);
    let rules = Rules::of_services(&[kind.service]).unwrap();
    let authorizer = Authorizer::new(rules, Directory::not_loaded(), Arc::new(Nobody));
    let options = ServeOptions::new(
        kind.role,
        listener,
        tls(&certificates().internal(kind.role)),
        AuthorizeLayer::new(authorizer),
        Arc::new(Unrecorded),
        Health::new(&[]),
        draining,
    );
    let routes = (kind.routes)(feed, store.clone());
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let ended = tokio::spawn(async move {
        mesh_rpc::serve(options, routes, stopped).await.unwrap();
    });
    Serving {
        stop: stop.drop_guard(),
        ended,
    }
}

/// What a process shows and trusts.
pub(crate) fn tls(issued: &Issued) -> Tls {
    Tls::from_pem(TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    })
    .unwrap()
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

struct FlagRegistry(Feed, Flags);

#[tonic::async_trait]
impl FlagService for FlagRegistry {
    type FollowFlagsStream = FrameStream<flags::FollowFlagsResponse>;

    async fn follow_flags(
        &self,
        request: Request<flags::FollowFlagsRequest>,
    ) -> Result<Response<Self::FollowFlagsStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let start = Asked::from_wire(request.into_inner().start)?;
        let stream = self.0.serve(start, authorization, self.1.clone());
        Ok(Response::new(stream.await?))
    }

    async fn add_flag(
        &self,
        _request: Request<flags::AddFlagRequest>,
    ) -> Result<Response<flags::AddFlagResponse>, Status> {
        Err(not_played())
    }

    async fn remove_flag(
        &self,
        _request: Request<flags::RemoveFlagRequest>,
    ) -> Result<Response<flags::RemoveFlagResponse>, Status> {
        Err(not_played())
    }

    async fn batch_add_flags(
        &self,
        _request: Request<flags::BatchAddFlagsRequest>,
    ) -> Result<Response<flags::BatchAddFlagsResponse>, Status> {
        Err(not_played())
    }

    async fn batch_remove_flags(
        &self,
        _request: Request<flags::BatchRemoveFlagsRequest>,
    ) -> Result<Response<flags::BatchRemoveFlagsResponse>, Status> {
        Err(not_played())
    }

    async fn record_tenancy_change(
        &self,
        _request: Request<flags::RecordTenancyChangeRequest>,
    ) -> Result<Response<flags::RecordTenancyChangeResponse>, Status> {
        Err(not_played())
    }

    async fn note_tenancy_restriction(
        &self,
        _request: Request<flags::NoteTenancyRestrictionRequest>,
    ) -> Result<Response<flags::NoteTenancyRestrictionResponse>, Status> {
        Err(not_played())
    }

    async fn get_flag(
        &self,
        _request: Request<flags::GetFlagRequest>,
    ) -> Result<Response<flags::GetFlagResponse>, Status> {
        Err(not_played())
    }

    async fn batch_get_flags(
        &self,
        _request: Request<flags::BatchGetFlagsRequest>,
    ) -> Result<Response<flags::BatchGetFlagsResponse>, Status> {
        Err(not_played())
    }

    async fn list_flags(
        &self,
        _request: Request<flags::ListFlagsRequest>,
    ) -> Result<Response<flags::ListFlagsResponse>, Status> {
        Err(not_played())
    }

    async fn list_flag_events(
        &self,
        _request: Request<flags::ListFlagEventsRequest>,
    ) -> Result<Response<flags::ListFlagEventsResponse>, Status> {
        Err(not_played())
    }
}

struct Registration(Feed, Store);

/// The parties of all events so far.
struct Parties(Store);

#[async_trait]
impl SnapshotPages for Parties {
    type Part = parties::PartySnapshot;

    async fn page(
        &self,
        at: Sequence,
        _after: Option<&str>,
    ) -> Result<SnapshotPage<parties::PartySnapshot>, StoreError> {
        let mut conn = self.0.readers().acquire().await?;
        let log = "parties".parse().unwrap();
        let events = log::read(&mut conn, &log, 0, log::PageLimit::default()).await?;
        let events = events.into_iter().filter(|event| event.sequence <= at);
        let parties: Vec<_> = events
            .filter_map(|event| {
                parties::PartyEvent::decode(event.event.as_slice())
                    .unwrap()
                    .party
            })
            .collect();
        Ok(SnapshotPage {
            items: parties.len() as u64,
            part: parties::PartySnapshot { parties },
            next_key: None,
        })
    }
}

#[tonic::async_trait]
impl PartyService for Registration {
    type FollowPartiesStream = FrameStream<parties::FollowPartiesResponse>;

    async fn follow_parties(
        &self,
        request: Request<parties::FollowPartiesRequest>,
    ) -> Result<Response<Self::FollowPartiesStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let start = Asked::from_wire(request.into_inner().start)?;
        let stream = self.0.serve(start, authorization, Parties(self.1.clone()));
        Ok(Response::new(stream.await?))
    }

    async fn put_party(
        &self,
        _request: Request<parties::PutPartyRequest>,
    ) -> Result<Response<parties::PutPartyResponse>, Status> {
        Err(not_played())
    }

    async fn set_party_status(
        &self,
        _request: Request<parties::SetPartyStatusRequest>,
    ) -> Result<Response<parties::SetPartyStatusResponse>, Status> {
        Err(not_played())
    }

    async fn get_party(
        &self,
        _request: Request<parties::GetPartyRequest>,
    ) -> Result<Response<parties::GetPartyResponse>, Status> {
        Err(not_played())
    }

    async fn list_parties(
        &self,
        _request: Request<parties::ListPartiesRequest>,
    ) -> Result<Response<parties::ListPartiesResponse>, Status> {
        Err(not_played())
    }
}

/// For RPCs that this service never calls.
fn not_played() -> Status {
    Status::unimplemented("not played")
}
