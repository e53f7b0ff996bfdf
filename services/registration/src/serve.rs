//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;
use std::time::Duration;

use mesh_api::registration::v1::authority_service_server::AuthorityServiceServer;
use mesh_api::registration::v1::device_service_server::DeviceServiceServer;
use mesh_api::registration::v1::party_service_server::PartyServiceServer;
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RuleError, Rules};
use mesh_rpc::{Drained, Draining, Health, ServeError, ServeOptions, Tls, serve};
use mesh_store::{StoreError, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::grpc::{OwnAuthority, Registry};
use crate::store::Inventory;
use crate::{directory, ticker};

/// The full names of the services in the contracts.
pub const SERVICES: [&str; 3] = [
    "mp169.registration.v1.PartyService",
    "mp169.registration.v1.DeviceService",
    "mp169.registration.v1.AuthorityService",
];

/// How often the store is asked whether it still answers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database: `sqlite://PATH`.
    pub database_url: String,
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
    pub fn new(database_url: &str, tls: Tls) -> Self {
        Self {
            database_url: database_url.to_owned(),
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
    let rules = Rules::read(deps.contracts, &SERVICES)?;
    let clock = Arc::clone(&deps.clock);
    let (inventory, writer) =
        Inventory::open(&deps.database_url, clock, WriterSettings::default()).await?;
    let directory = Directory::not_loaded();
    let health = Health::new(&SERVICES).await;
    let draining = Draining::new();

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(directory::follow(
        inventory.clone(),
        directory.clone(),
        stop.clone(),
    ));
    tasks.spawn(ticker::run(
        inventory.clone(),
        Arc::clone(&deps.clock),
        stop.clone(),
    ));
    tasks.spawn(watch_health(
        health.clone(),
        directory.clone(),
        inventory.clone(),
        stop.clone(),
    ));

    let registry = Registry::new(inventory.clone(), deps.clock, draining.token());
    let authority = OwnAuthority::new(registry.clone());
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let routes = Routes::new(PartyServiceServer::new(registry.clone()))
        .add_service(DeviceServiceServer::new(registry.clone()))
        .add_service(AuthorityServiceServer::new(registry));
    let authorize = AuthorizeLayer::new(authorizer);
    let options = ServeOptions::new(
        "registration",
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
    inventory.store().close().await;
    Ok(served?)
}

/// Says SERVING while callers can be recognised and the store answers.
async fn watch_health(
    health: Health,
    directory: Directory,
    inventory: Inventory,
    stop: CancellationToken,
) {
    let mut changes = directory.changes();
    loop {
        let ready = directory.is_loaded() && inventory.devices_head().await.is_ok();
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
