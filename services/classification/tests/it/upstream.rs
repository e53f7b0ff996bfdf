//! Owners of the logs `flags` and `parties` that only serve them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::DeviceType;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_server::{FlagService, FlagServiceServer};
use mesh_api::flag_registry::v1::{Cause, FlagState};
use mesh_api::registration::v1 as registration;
use mesh_api::registration::v1::party_service_server::{PartyService, PartyServiceServer};
use mesh_authz::{Authorization, AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{Asked, Feed, FeedSettings, FrameStream, SnapshotPage, SnapshotPages};
use mesh_rpc::audit::Unrecorded;
use mesh_rpc::{ClientOptions, Draining, Health, ServeOptions, connect, serve};
use mesh_store::conformance::accept_history;
use mesh_store::{Migrator, Store, StoreError, Trouble, log};
use mesh_testkit::{TempDir, certificates};
use mesh_types::{Epoch, LogName, Position, Sequence, SystemClock, Timestamp};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::world::tls;

/// The one supplier that registration knows, by its entity.
pub(crate) const SUPPLIER: &str = "90-B3-D5-1F-30-01-00-00";

/// A log of its own database.
#[derive(Clone)]
struct Log {
    store: Store,
    name: LogName,
    _folder: Arc<TempDir>,
}

impl Log {
    /// A new, empty one in an epoch of its own.
    async fn new(name: &str) -> Self {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        let none = Migrator::with_migrations(Vec::new());
        let store = Store::open(&mesh_store::Database::existing_or_new(&url), &none)
            .await
            .unwrap();
        let name: LogName = name.parse().unwrap();
        let mut tx = store.begin_write(Timestamp::from_micros(0)).await.unwrap();
        tx.create_log(&name, log::random_epoch()).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            store,
            name,
            _folder: Arc::new(folder),
        }
    }

    async fn epoch(&self) -> Epoch {
        let mut conn = self.store.readers().acquire().await.unwrap();
        let head = log::head(&mut conn, &self.name).await.unwrap();
        head.unwrap().position.epoch
    }

    fn feed(&self, draining: &Draining) -> Feed {
        let (store, name) = (self.store.clone(), self.name.clone());
        let settings = FeedSettings {
            checkpoint_interval: Duration::from_millis(300),
            ..FeedSettings::default()
        };
        Feed::new(store, name, Arc::new(SystemClock), draining.token()).with_settings(settings)
    }
}

/// A flag registry that knows what is flagged, and no reason why.
#[derive(Clone)]
pub(crate) struct FlagLog {
    log: Log,
    flagged: Arc<Mutex<Vec<wire::FlagEntry>>>,
}

impl FlagLog {
    /// One in an epoch of its own: nothing is flagged.
    pub(crate) async fn new() -> Self {
        Self {
            log: Log::new("flags").await,
            flagged: Arc::default(),
        }
    }

    /// Has it accept that `other` was given up for it.
    pub(crate) async fn accept(&self, other: &Self) {
        let over = other.log.epoch().await;
        let accepted = accept_history(&self.log.store, &self.log.name, over);
        accepted.await.unwrap();
    }

    /// Whether its database is known to have gone back.
    pub(crate) fn went_back(&self) -> bool {
        let condition = self.log.store.condition();
        let condition = condition.borrow();
        matches!(condition.trouble(), Some(Trouble::WentBack { .. }))
    }

    /// Flags a Device.
    pub(crate) async fn flag(&self, device: &str, kind: DeviceType, covered: &[&str]) -> Position {
        let after = facts(FlagState::Flagged, covered);
        let before = facts(FlagState::NotFlagged, &[]);
        self.record(device, kind, Cause::FlagAdded, (before, after), "")
            .await
    }

    /// Records an event with what holds before and after it.
    pub(crate) async fn record(
        &self,
        device: &str,
        kind: DeviceType,
        cause: Cause,
        (previous, current): (wire::FlagFacts, wire::FlagFacts),
        trace_parent: &str,
    ) -> Position {
        let now = Timestamp::from_micros(0);
        let mut tx = self.log.store.begin_write(now).await.unwrap();
        tx.lock(&self.log.name).await.unwrap();
        let event = wire::FlagEvent {
            device_id: device.to_owned(),
            device_type: kind.into(),
            cause: cause.into(),
            previous: Some(previous),
            current: Some(current.clone()),
            trace_parent: trace_parent.to_owned(),
            ..wire::FlagEvent::default()
        };
        let stamp = tx
            .append(&self.log.name, |_| event.encode_to_vec())
            .unwrap();
        tx.commit().await.unwrap();
        self.remember(device, kind, &current, stamp.position.sequence);
        stamp.position
    }

    fn remember(&self, device: &str, kind: DeviceType, now: &wire::FlagFacts, sequence: Sequence) {
        let mut flagged = self.flagged.lock().unwrap();
        let known = flagged.iter().position(|entry| entry.device_id == device);
        let known = known.map(|at| flagged.remove(at));
        if now.state() != FlagState::Flagged {
            return;
        }
        flagged.push(wire::FlagEntry {
            device_id: device.to_owned(),
            device_type: kind.into(),
            state: now.state,
            covered_device_ids: now.covered_device_ids.clone(),
            state_sequence: known.map_or(sequence, |known| known.state_sequence),
            ..wire::FlagEntry::default()
        });
        flagged.sort_by(|one, other| one.device_id.cmp(&other.device_id));
    }

    /// Serves the log on `listener`.
    pub(crate) async fn serve(&self, listener: TcpListener) -> Upstream {
        let draining = Draining::new();
        let service = Flags(self.log.feed(&draining), self.clone());
        let routes = Routes::new(FlagServiceServer::new(service));
        let names = ["mp169.flag_registry.v1.FlagService"];
        Upstream::start("flag-registry", &names, routes, draining, listener).await
    }
}

pub(crate) fn facts(state: FlagState, covered: &[&str]) -> wire::FlagFacts {
    wire::FlagFacts {
        state: state.into(),
        covered_device_ids: covered.iter().map(ToString::to_string).collect(),
        ..wire::FlagFacts::default()
    }
}

/// In parts of two, so that a snapshot has several.
#[async_trait]
impl SnapshotPages for FlagLog {
    type Part = wire::FlagSnapshot;

    async fn page(
        &self,
        _at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<wire::FlagSnapshot>, StoreError> {
        let flagged = self.flagged.lock().unwrap();
        let rest = flagged
            .iter()
            .filter(|entry| after.is_none_or(|after| entry.device_id.as_str() > after));
        let entries: Vec<_> = rest.take(2).cloned().collect();
        let last = entries.last().filter(|_| entries.len() == 2);
        Ok(SnapshotPage {
            items: entries.len() as u64,
            next_key: last.map(|last| last.device_id.clone()),
            part: wire::FlagSnapshot { entries },
        })
    }
}

/// registration, with a supplier in its directory.
pub(crate) async fn registration(listener: TcpListener) -> Upstream {
    let draining = Draining::new();
    let parties = Parties(Log::new("parties").await.feed(&draining));
    let routes = Routes::new(PartyServiceServer::new(parties));
    let names = ["mp169.registration.v1.PartyService"];
    Upstream::start("registration", &names, routes, draining, listener).await
}

#[derive(Clone)]
struct Parties(Feed);

#[async_trait]
impl SnapshotPages for Parties {
    type Part = registration::PartySnapshot;

    async fn page(
        &self,
        _at: Sequence,
        _after: Option<&str>,
    ) -> Result<SnapshotPage<registration::PartySnapshot>, StoreError> {
        let supplier = registration::Party {
            party_id: "ACME".to_owned(),
            status: registration::PartyStatus::Active.into(),
            identities: vec![registration::PartyIdentity {
                entity_id: SUPPLIER.to_owned(),
                roles: vec![Role::ImportSupplier.into(), Role::GasSupplier.into()],
            }],
            ..registration::Party::default()
        };
        Ok(SnapshotPage {
            items: 1,
            part: registration::PartySnapshot {
                parties: vec![supplier],
            },
            next_key: None,
        })
    }
}

struct Flags(Feed, FlagLog);

/// Implements a service of which only the follow RPC is served.
macro_rules! only_follows {
    (
        $service:ident for $name:ident: $stream:ident, $follow:ident($request:ty) -> $response:ty,
        $self:ident => $snapshots:expr;
        { $($method:ident($asked:ty) -> $answered:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl $service for $name {
            type $stream = FrameStream<$response>;

            async fn $follow(
                &$self,
                request: Request<$request>,
            ) -> Result<Response<Self::$stream>, Status> {
                let authorization = Authorization::of(&request)?;
                let start = Asked::from_wire(request.into_inner().start)?;
                let stream = $self.0.serve(start, authorization, $snapshots).await?;
                Ok(Response::new(stream))
            }

            $(
                async fn $method(&self, _: Request<$asked>) -> Result<Response<$answered>, Status> {
                    Err(Status::unimplemented("only follows"))
                }
            )*
        }
    };
}

only_follows! {
    PartyService for Parties: FollowPartiesStream,
    follow_parties(registration::FollowPartiesRequest) -> registration::FollowPartiesResponse,
    self => self.clone();
    {
    put_party(registration::PutPartyRequest) -> registration::PutPartyResponse;
    set_party_status(registration::SetPartyStatusRequest)
        -> registration::SetPartyStatusResponse;
    get_party(registration::GetPartyRequest) -> registration::GetPartyResponse;
    list_parties(registration::ListPartiesRequest) -> registration::ListPartiesResponse;
    }
}

only_follows! {
    FlagService for Flags: FollowFlagsStream,
    follow_flags(wire::FollowFlagsRequest) -> wire::FollowFlagsResponse,
    self => self.1.clone();
    {
    add_flag(wire::AddFlagRequest) -> wire::AddFlagResponse;
    remove_flag(wire::RemoveFlagRequest) -> wire::RemoveFlagResponse;
    batch_add_flags(wire::BatchAddFlagsRequest) -> wire::BatchAddFlagsResponse;
    batch_remove_flags(wire::BatchRemoveFlagsRequest) -> wire::BatchRemoveFlagsResponse;
    record_tenancy_change(wire::RecordTenancyChangeRequest) -> wire::RecordTenancyChangeResponse;
    note_tenancy_restriction(wire::NoteTenancyRestrictionRequest)
        -> wire::NoteTenancyRestrictionResponse;
    get_flag(wire::GetFlagRequest) -> wire::GetFlagResponse;
    batch_get_flags(wire::BatchGetFlagsRequest) -> wire::BatchGetFlagsResponse;
    list_flags(wire::ListFlagsRequest) -> wire::ListFlagsResponse;
    list_flag_events(wire::ListFlagEventsRequest) -> wire::ListFlagEventsResponse;
    }
}

/// A running owner of a log. Dropped, it goes on.
pub(crate) struct Upstream {
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Upstream {
    async fn start(
        role: &'static str,
        services: &[&'static str],
        routes: Routes,
        draining: Draining,
        listener: TcpListener,
    ) -> Self {
        let tls = tls(&certificates().internal(role));
        let rules = Rules::of_services(services).unwrap();
        // Internal roles need no directory, and nobody here asks for authority.
        let nobody = listener.local_addr().unwrap().to_string();
        let nobody = connect(ClientOptions::new(role, nobody, tls.clone()));
        let authority = Arc::new(RemoteAuthority::new(nobody, (), mesh_rpc::remaining));
        let authorizer = Authorizer::new(rules, Directory::not_loaded(), authority);
        let authorize = AuthorizeLayer::new(authorizer);
        let health = Health::new(&[]);
        let options = ServeOptions::new(
            role,
            listener,
            tls,
            authorize,
            Arc::new(Unrecorded),
            health,
            draining,
        );
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let ended = tokio::spawn(async move {
            serve(options, routes, stopped).await.unwrap();
        });
        Self { stop, ended }
    }

    /// Ends all streams and frees the address.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap();
    }
}
