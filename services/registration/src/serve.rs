//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::registration::v1::authority_service_server::AuthorityServiceServer;
use mesh_api::registration::v1::device_service_server::DeviceServiceServer;
use mesh_api::registration::v1::party_service_server::PartyServiceServer;
use mesh_audit::{Audit, Recordings};
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, Rules};
use mesh_rpc::{Drained, Draining, Health, ServeOptions, Tls, serve};
use mesh_service::{
    Background, OPERATIONS, Operations, RunError, recording, usable, watch_clock, watch_health,
    watch_state, watch_storage,
};
use mesh_store::{Database, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::grpc::{OwnAuthority, Registry};
use crate::present::Present;
use crate::store::Inventory;
use crate::{directory, ticker};

/// The full names of the services in the contracts.
pub const SERVICES: [&str; 3] = [
    "mp169.registration.v1.PartyService",
    "mp169.registration.v1.DeviceService",
    "mp169.registration.v1.AuthorityService",
];

/// All that the server serves besides what every server does.
const SERVED: [&str; 5] = [
    SERVICES[0],
    SERVICES[1],
    SERVICES[2],
    OPERATIONS,
    mesh_audit::SERVICE,
];

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database, and whether it may be made.
    pub database: Database,
    /// The database of the audit.
    pub audit_database: Database,
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
    pub fn new(database: Database, tls: Tls) -> Self {
        Self {
            audit_database: mesh_audit::beside(&database),
            database,
            tls,
            clock: Arc::new(SystemClock),
            contracts: mesh_api::FILE_DESCRIPTOR_SET,
        }
    }
}

/// Serves on `listener` until `shutdown` resolves, then drains and closes the database.
pub async fn run(
    deps: Deps,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, RunError> {
    let rules = Rules::read(deps.contracts, &SERVED)?;
    let recordings = Recordings::read(deps.contracts, &SERVED)?;
    let clock = Arc::clone(&deps.clock);
    let (inventory, writer) =
        Inventory::open(&deps.database, clock, WriterSettings::default()).await?;
    let (audit, audit_task) = Audit::open(
        "registration",
        &deps.audit_database,
        recordings,
        Arc::clone(&deps.clock),
    )
    .await
    .map_err(RunError::Audit)?;
    let directory = Directory::not_loaded();
    let health = Health::new(&SERVED);
    let draining = Draining::new();

    let background = Background::default();
    background.spawn(directory::follow(
        inventory.clone(),
        directory.clone(),
        background.stop(),
    ));
    background.spawn(ticker::run(
        inventory.clone(),
        Arc::clone(&deps.clock),
        background.stop(),
    ));
    let rows = {
        let inventory = inventory.clone();
        move || {
            let inventory = inventory.clone();
            async move { inventory.foldings().await }
        }
    };
    background.spawn(watch_state(
        inventory.store().clone(),
        rows,
        background.stop(),
    ));
    background.spawn(watch_clock(
        "registration",
        Arc::clone(&deps.clock),
        Some(inventory.store().clone()),
        background.stop(),
    ));
    background.spawn(watch_storage(
        "registration",
        inventory.store().clone(),
        background.stop(),
    ));
    // Serving means that callers can be recognised, the store answers, calls are put on record, and what
    // is recorded gets the right time.
    let able = {
        let (inventory, audit) = (inventory.clone(), audit.clone());
        let clock = Arc::clone(&deps.clock);
        move || {
            let (inventory, audit, clock) = (inventory.clone(), audit.clone(), Arc::clone(&clock));
            async move {
                audit.usable()?;
                recording(&*clock, inventory.store()).await?;
                usable(inventory.store(), inventory.devices_head().await).map(drop)
            }
        }
    };
    background.spawn(watch_health(
        health.clone(),
        directory.clone(),
        able,
        background.stop(),
    ));

    let clock = Arc::clone(&deps.clock);
    let (present, answering) = Present::new(inventory.clone(), clock, background.stop());
    background.spawn(answering);

    let (clock, store) = (Arc::clone(&deps.clock), inventory.store().clone());
    let operations = Operations::server("registration", clock, health.clone(), Some(store));
    let clock = Arc::clone(&deps.clock);
    let registry = Registry::new(inventory.clone(), present, deps.clock, draining.token());
    let authority = OwnAuthority::new(registry.clone());
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let routes = Routes::new(PartyServiceServer::new(registry.clone()))
        .add_service(DeviceServiceServer::new(registry.clone()))
        .add_service(AuthorityServiceServer::new(registry))
        .add_service(operations)
        .add_service(audit.server(draining.token()));
    let authorize = AuthorizeLayer::new(authorizer);
    let options = ServeOptions::new(
        "registration",
        listener,
        deps.tls,
        authorize,
        audit.journal(),
        health,
        draining,
    )
    .with_clock(clock);
    let served = serve(options, routes, shutdown).await;

    background.shutdown().await;
    writer.shutdown().await;
    inventory.store().close().await;
    audit_task.shutdown().await;
    Ok(served?)
}
