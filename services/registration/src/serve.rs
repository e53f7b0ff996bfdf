//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::registration::v1::authority_service_server::AuthorityServiceServer;
use mesh_api::registration::v1::device_service_server::DeviceServiceServer;
use mesh_api::registration::v1::party_service_server::PartyServiceServer;
use mesh_rpc::{Drained, Tls};
use mesh_service::{Base, Given, RunError, Storage, usable};
use mesh_store::{Database, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::grpc::{OwnAuthority, Registry};
use crate::present::Present;
use crate::store::{Inventory, foldings};
use crate::{directory, ticker};

/// The full names of the services in the contracts.
pub const SERVICES: [&str; 3] = [
    "mp169.registration.v1.PartyService",
    "mp169.registration.v1.DeviceService",
    "mp169.registration.v1.AuthorityService",
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
    let (clock, settings) = (Arc::clone(&deps.clock), WriterSettings::default());
    let (inventory, writer) = Inventory::open(&deps.database, clock, settings).await?;
    let given = Given {
        service: "registration",
        serves: &SERVICES,
        contracts: deps.contracts,
        tls: deps.tls,
        clock: deps.clock,
        audit_database: deps.audit_database,
    };
    let storage = Storage {
        store: inventory.store().clone(),
        writer,
    };
    let mut base = Base::open(given, Some(storage)).await?;
    base.spawn(directory::follow(
        inventory.clone(),
        base.directory(),
        base.stop(),
    ));
    base.spawn(ticker::run(inventory.clone(), base.clock(), base.stop()));
    let rows = inventory.clone();
    base.compare_state(move || {
        let inventory = rows.clone();
        async move { foldings(&mut *inventory.store().readers().acquire().await?).await }
    });
    let able = inventory.clone();
    base.serve_while(move || {
        let inventory = able.clone();
        async move { usable(inventory.store(), inventory.devices_head().await).map(drop) }
    });
    let (present, answering) = Present::new(inventory.clone(), base.clock(), base.stop());
    base.spawn(answering);

    let draining = base.draining().token();
    let registry = Registry::new(inventory, present, base.clock(), draining);
    let authority = OwnAuthority::new(registry.clone());
    let routes = Routes::new(PartyServiceServer::new(registry.clone()))
        .add_service(DeviceServiceServer::new(registry.clone()))
        .add_service(AuthorityServiceServer::new(registry));
    base.serve(listener, routes, authority, shutdown).await
}
