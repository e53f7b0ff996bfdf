//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;
use std::time::Duration;

use mesh_api::flag_registry::v1::flag_service_server::FlagServiceServer;
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, RuleError, Rules};
use mesh_follow::{Feed, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, MeshChannel, ServeError, ServeOptions, Tls, connect,
    serve,
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
        deps.registration.clone(),
        deps.tls.clone(),
    ));
    let parts = Parts {
        directory: Directory::not_loaded(),
        health: Health::new(&[SERVICE]).await,
        draining: Draining::new(),
        store,
        registration,
        deps,
    };

    let stop = CancellationToken::new();
    let tasks = parts.start_tasks(&stop);
    let (options, routes) = parts.server(rules, listener);
    let served = serve(options, routes, shutdown).await;

    // Whoever gives commands stops first, then the writer, then the database.
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    writer.shutdown().await;
    parts.store.database().close().await;
    Ok(served?)
}

/// What tasks and handlers share.
struct Parts {
    deps: Deps,
    store: FlagStore,
    registration: MeshChannel,
    directory: Directory,
    health: Health,
    draining: Draining,
}

impl Parts {
    /// Starts what runs beside the server, until `stop` is cancelled.
    fn start_tasks(&self, stop: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        tasks.spawn(follow_directory(
            self.registration.clone(),
            self.directory.clone(),
            stop.clone(),
        ));
        tasks.spawn(follow_devices(
            self.registration.clone(),
            self.store.clone(),
            Arc::clone(&self.deps.clock),
            stop.clone(),
        ));
        tasks.spawn(watch_health(
            self.health.clone(),
            self.directory.clone(),
            self.store.clone(),
            stop.clone(),
        ));
        tasks
    }

    /// The handlers, and all that the chain in front of them needs.
    fn server(
        &self,
        rules: Rules,
        listener: TcpListener,
    ) -> (ServeOptions<AuthorizeLayer>, Routes) {
        let clock = &self.deps.clock;
        let followed = FollowedSuppliers::new(self.store.clone(), Arc::clone(clock));
        let authority = RemoteAuthority::new(self.registration.clone(), followed);
        let authorizer = Authorizer::new(rules, self.directory.clone(), Arc::new(authority));
        let feed = Feed::new(
            self.store.database().clone(),
            self.store.log().clone(),
            Arc::clone(clock),
            self.draining.token(),
        );
        let flags = Flags::new(self.store.clone(), feed, Arc::clone(clock));
        let options = ServeOptions::new(
            "flag-registry",
            listener,
            self.deps.tls.clone(),
            AuthorizeLayer::new(authorizer),
            self.health.clone(),
            self.draining.clone(),
        );
        (options, Routes::new(FlagServiceServer::new(flags)))
    }
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
