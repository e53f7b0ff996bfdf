//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;
use std::time::Duration;

use mesh_api::flag_registry::v1::flag_service_server::FlagServiceServer;
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, RuleError, Rules};
use mesh_follow::{Feed, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, ServeError, ServeOptions, Tls, connect, serve,
};
use mesh_store::{StoreError, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::follow::{FollowedSuppliers, follow_devices};
use crate::grpc::Flags;
use crate::store::FlagStore;

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.flag_registry.v1.FlagService";

/// How often the store is asked whether it still answers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database: `sqlite://PATH`.
    pub database_url: String,
    /// Where the service registration listens: `host:port`.
    pub registration: String,
    /// Our certificate, and whom we trust.
    pub tls: Tls,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The contracts' descriptor set, which holds the rule of each RPC.
    pub contracts: &'static [u8],
}

impl Deps {
    /// With the machine's clock.
    #[must_use]
    pub fn new(database_url: &str, registration: &str, tls: Tls) -> Self {
        Self {
            database_url: database_url.to_owned(),
            registration: registration.to_owned(),
            tls,
            clock: Arc::new(SystemClock),
            contracts: mesh_api::FILE_DESCRIPTOR_SET,
        }
    }
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The contracts lack a rule.
    #[error("the contracts' rules cannot be used: {0}")]
    Rules(#[from] RuleError),
    /// The server cannot be built.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves on `listener` until `shutdown` resolves, then drains and closes the database.
pub async fn run(
    deps: Deps,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, RunError> {
    let rules = Rules::read(deps.contracts, &[SERVICE])?;
    let clock = Arc::clone(&deps.clock);
    let (store, writer) =
        FlagStore::open(&deps.database_url, clock, WriterSettings::default()).await?;
    let registration = connect(ClientOptions::new(
        "registration",
        deps.registration,
        deps.tls.clone(),
    ));
    let directory = Directory::not_loaded();
    let health = Health::new(&[SERVICE]).await;
    let draining = Draining::new();

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(follow_directory(
        registration.clone(),
        directory.clone(),
        stop.clone(),
    ));
    tasks.spawn(follow_devices(
        registration.clone(),
        store.clone(),
        Arc::clone(&deps.clock),
        stop.clone(),
    ));
    tasks.spawn(watch_health(
        health.clone(),
        directory.clone(),
        store.clone(),
        stop.clone(),
    ));

    let followed = FollowedSuppliers::new(store.clone(), Arc::clone(&deps.clock));
    let authority = RemoteAuthority::new(registration, followed);
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let feed = Feed::new(
        store.database().clone(),
        store.log().clone(),
        Arc::clone(&deps.clock),
        draining.token(),
    );
    let flags = Flags::new(store.clone(), feed, deps.clock);
    let routes = Routes::new(FlagServiceServer::new(flags));
    let authorize = AuthorizeLayer::new(authorizer);
    let options = ServeOptions::new(
        "flag-registry",
        listener,
        deps.tls,
        authorize,
        health,
        draining,
    );
    let served = serve(options, routes, shutdown).await;

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    writer.shutdown().await;
    store.database().close().await;
    Ok(served?)
}

/// Says SERVING while callers can be recognised and the store answers. Registration need not
/// answer for that: reads and streams go on without it.
async fn watch_health(
    health: Health,
    directory: Directory,
    store: FlagStore,
    stop: CancellationToken,
) {
    let mut changes = directory.changes();
    loop {
        let ready = directory.is_loaded() && store.head().await.is_ok();
        health.set_ready(ready).await;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}
