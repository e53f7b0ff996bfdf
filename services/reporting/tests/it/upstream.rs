//! Owners of the logs `parties`, `devices` and `flags` that only serve them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mesh_api::flag_registry::v1 as flag_wire;
use mesh_api::flag_registry::v1::flag_service_server::{FlagService, FlagServiceServer};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_server::{DeviceService, DeviceServiceServer};
use mesh_api::registration::v1::party_service_server::{PartyService, PartyServiceServer};
use mesh_authz::{Authorization, AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{Asked, Feed, FrameStream, NoSnapshot, SnapshotPage, SnapshotPages};
use mesh_rpc::audit::Unrecorded;
use mesh_rpc::{ClientOptions, Draining, Health, ServeOptions, connect, serve};
use mesh_store::conformance::accept_history;
use mesh_store::{Migrator, Store, StoreError, Trouble, log};
use mesh_testkit::TempDir;
use mesh_types::{LogName, ManualClock, Sequence, Timestamp};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::world::tls;

/// A log of its own database.
#[derive(Clone)]
pub(crate) struct Log {
    store: Store,
    name: LogName,
    /// What its owner looks at when it says that there are no older events: before the month of the tests, until
    /// one sets it.
    pub(crate) clock: Arc<ManualClock>,
    _folder: Arc<TempDir>,
}

impl Log {
    /// A new, empty one in an epoch of its own.
    pub(crate) async fn new(name: &str) -> Self {
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
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(0))),
            _folder: Arc::new(folder),
        }
    }

    /// Appends an event and says its sequence.
    pub(crate) async fn append(&self, event: impl Message) -> Sequence {
        let now = Timestamp::from_micros(0);
        let mut tx = self.store.begin_write(now).await.unwrap();
        tx.lock(&self.name).await.unwrap();
        let stamp = tx.append(&self.name, |_| event.encode_to_vec()).unwrap();
        tx.commit().await.unwrap();
        stamp.position.sequence
    }

    /// Whether its database is known to have gone back.
    pub(crate) fn went_back(&self) -> bool {
        let condition = self.store.condition();
        let condition = condition.borrow();
        matches!(condition.trouble(), Some(Trouble::WentBack { .. }))
    }

    /// Has it accept that `other` was given up for it.
    pub(crate) async fn accept(&self, other: &Self) {
        let mut conn = other.store.readers().acquire().await.unwrap();
        let head = log::head(&mut conn, &other.name).await.unwrap();
        let over = head.unwrap().position.epoch;
        let accepted = accept_history(&self.store, &self.name, over);
        accepted.await.unwrap();
    }

    fn feed(&self, draining: &CancellationToken) -> Feed {
        Feed::new(
            self.store.clone(),
            self.name.clone(),
            self.clock.clone(),
            draining.clone(),
        )
    }
}

/// What registration would send as a snapshot of `devices`, in parts of two.
#[derive(Clone, Default)]
pub(crate) struct Inventory(pub(crate) Arc<Mutex<Vec<wire::DeviceState>>>);

#[async_trait]
impl SnapshotPages for Inventory {
    type Part = wire::DeviceSnapshot;

    async fn page(
        &self,
        _at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<wire::DeviceSnapshot>, StoreError> {
        let all = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let begin = after.map_or(0, |after| after.parse().unwrap());
        let devices: Vec<_> = all.iter().skip(begin).take(2).cloned().collect();
        let end = begin + devices.len();
        Ok(SnapshotPage {
            items: devices.len() as u64,
            part: wire::DeviceSnapshot { devices },
            next_key: (end < all.len()).then(|| end.to_string()),
        })
    }
}

#[derive(Clone)]
struct Parties(Feed, Vec<wire::Party>);

#[async_trait]
impl SnapshotPages for Parties {
    type Part = wire::PartySnapshot;

    async fn page(
        &self,
        _at: Sequence,
        _after: Option<&str>,
    ) -> Result<SnapshotPage<wire::PartySnapshot>, StoreError> {
        let parties = self.1.clone();
        Ok(SnapshotPage {
            items: parties.len() as u64,
            part: wire::PartySnapshot { parties },
            next_key: None,
        })
    }
}

struct Devices(Feed, Inventory);

struct Flags(Feed);

/// Implements a service of which only the follow RPC is served.
macro_rules! only_follows {
    (
        $service:ident for $name:ident: $stream:ident, $follow:ident($request:ty) -> $response:ty,
        $self:ident, $authorization:ident, $start:ident => $answer:expr;
        { $($method:ident($asked:ty) -> $answered:ty;)* }
        $(streams $bidi:ident: $bidi_stream:ident($sent:ty) -> $received:ty;)?
    ) => {
        #[tonic::async_trait]
        impl $service for $name {
            type $stream = FrameStream<$response>;
            $(type $bidi_stream = FrameStream<$received>;)?

            async fn $follow(
                &$self,
                request: Request<$request>,
            ) -> Result<Response<Self::$stream>, Status> {
                let $authorization = Authorization::of(&request)?;
                let $start = Asked::from_wire(request.into_inner().start)?;
                Ok(Response::new($answer.await?))
            }

            $(
                async fn $method(&self, _: Request<$asked>) -> Result<Response<$answered>, Status> {
                    Err(Status::unimplemented("only follows"))
                }
            )*

            $(
                async fn $bidi(
                    &self,
                    _: Request<Streaming<$sent>>,
                ) -> Result<Response<Self::$bidi_stream>, Status> {
                    Err(Status::unimplemented("only follows"))
                }
            )?
        }
    };
}

only_follows! {
    PartyService for Parties: FollowPartiesStream,
    follow_parties(wire::FollowPartiesRequest) -> wire::FollowPartiesResponse,
    self, authorization, start => self.0.serve(start, authorization, self.clone());
    {
    put_party(wire::PutPartyRequest) -> wire::PutPartyResponse;
    set_party_status(wire::SetPartyStatusRequest) -> wire::SetPartyStatusResponse;
    get_party(wire::GetPartyRequest) -> wire::GetPartyResponse;
    list_parties(wire::ListPartiesRequest) -> wire::ListPartiesResponse;
    }
}

only_follows! {
    DeviceService for Devices: FollowDevicesStream,
    follow_devices(wire::FollowDevicesRequest) -> wire::FollowDevicesResponse,
    self, authorization, start => self.0.serve(start, authorization, self.1.clone());
    {
    put_device(wire::PutDeviceRequest) -> wire::PutDeviceResponse;
    get_device(wire::GetDeviceRequest) -> wire::GetDeviceResponse;
    list_devices(wire::ListDevicesRequest) -> wire::ListDevicesResponse;
    change_supplier(wire::ChangeSupplierRequest) -> wire::ChangeSupplierResponse;
    withdraw_registration(wire::WithdrawRegistrationRequest)
        -> wire::WithdrawRegistrationResponse;
    list_registrations(wire::ListRegistrationsRequest) -> wire::ListRegistrationsResponse;
    }
    streams import_inventory: ImportInventoryStream(wire::ImportInventoryRequest)
        -> wire::ImportInventoryResponse;
}

only_follows! {
    FlagService for Flags: FollowFlagsStream,
    follow_flags(flag_wire::FollowFlagsRequest) -> flag_wire::FollowFlagsResponse,
    self, authorization, start => self.0.serve(start, authorization, NoSnapshot::default());
    {
    add_flag(flag_wire::AddFlagRequest) -> flag_wire::AddFlagResponse;
    remove_flag(flag_wire::RemoveFlagRequest) -> flag_wire::RemoveFlagResponse;
    batch_add_flags(flag_wire::BatchAddFlagsRequest) -> flag_wire::BatchAddFlagsResponse;
    batch_remove_flags(flag_wire::BatchRemoveFlagsRequest) -> flag_wire::BatchRemoveFlagsResponse;
    record_tenancy_change(flag_wire::RecordTenancyChangeRequest)
        -> flag_wire::RecordTenancyChangeResponse;
    note_tenancy_restriction(flag_wire::NoteTenancyRestrictionRequest)
        -> flag_wire::NoteTenancyRestrictionResponse;
    get_flag(flag_wire::GetFlagRequest) -> flag_wire::GetFlagResponse;
    batch_get_flags(flag_wire::BatchGetFlagsRequest) -> flag_wire::BatchGetFlagsResponse;
    list_flags(flag_wire::ListFlagsRequest) -> flag_wire::ListFlagsResponse;
    list_flag_events(flag_wire::ListFlagEventsRequest) -> flag_wire::ListFlagEventsResponse;
    }
}

/// A running owner of logs.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Upstream {
    /// registration, with the logs `parties` (empty after its snapshot) and `devices`.
    pub(crate) async fn registration(
        parties: &Log,
        known: Vec<wire::Party>,
        devices: &Log,
        inventory: &Inventory,
        listener: TcpListener,
    ) -> Self {
        let draining = Draining::new();
        let parties = Parties(parties.feed(&draining.token()), known);
        let devices = Devices(devices.feed(&draining.token()), inventory.clone());
        let routes = Routes::new(PartyServiceServer::new(parties))
            .add_service(DeviceServiceServer::new(devices));
        let services = [
            "mp169.registration.v1.PartyService",
            "mp169.registration.v1.DeviceService",
        ];
        Self::start("registration", &services, routes, draining, listener).await
    }

    /// flag-registry, with the log `flags`.
    pub(crate) async fn flag_registry(flags: &Log, listener: TcpListener) -> Self {
        let draining = Draining::new();
        let flags = Flags(flags.feed(&draining.token()));
        let routes = Routes::new(FlagServiceServer::new(flags));
        let services = ["mp169.flag_registry.v1.FlagService"];
        Self::start("flag-registry", &services, routes, draining, listener).await
    }

    async fn start(
        role: &'static str,
        services: &[&'static str],
        routes: Routes,
        draining: Draining,
        listener: TcpListener,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let tls = tls(role);
        let rules = Rules::of_services(services).unwrap();
        // Internal roles need no directory, and nobody here asks for authority.
        let nobody = connect(ClientOptions::new(role, address.to_string(), tls.clone()));
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
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                // A test that does not stop its server drops the sender.
                let _ = stopped.await;
            };
            serve(options, routes, shutdown).await.unwrap();
        });
        Self {
            address,
            stop,
            ended,
        }
    }

    /// Ends all streams and frees the address.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}
