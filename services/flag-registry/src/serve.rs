//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::flag_registry::v1::flag_service_server::FlagServiceServer;
use mesh_authz::RemoteAuthority;
use mesh_follow::Feed;
use mesh_rpc::{Drained, Tls};
use mesh_service::{Base, Given, RunError, Storage, usable};
use mesh_store::{Database, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::follow::{FollowedSuppliers, follow_devices};
use crate::grpc::Flags;
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::store::{FlagStore, foldings};
use crate::suppliers::FlagsBySupplier;

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.flag_registry.v1.FlagService";

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database, and whether it may be made.
    pub database: Database,
    /// The database of the audit.
    pub audit_database: Database,
    /// Where the service registration listens: `host:port`.
    pub registration: String,
    /// Our certificate, and whom we trust.
    pub tls: Tls,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How much a supplier may repeat.
    pub quotas: Quotas,
    /// The contracts' descriptor set, which holds the rule of each RPC.
    pub contracts: &'static [u8],
}

impl Deps {
    /// With the machine's clock and the usual quotas.
    #[must_use]
    pub fn new(database: Database, registration: &str, tls: Tls) -> Self {
        Self {
            audit_database: mesh_audit::beside(&database),
            database,
            registration: registration.to_owned(),
            tls,
            clock: Arc::new(SystemClock),
            quotas: Quotas::default(),
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
    let (store, writer) = FlagStore::open(&deps.database, clock, deps.quotas, settings).await?;
    let given = Given {
        service: "flag-registry",
        serves: &[SERVICE],
        contracts: deps.contracts,
        tls: deps.tls,
        clock: deps.clock,
        audit_database: deps.audit_database,
    };
    let storage = Storage {
        store: store.database().clone(),
        writer,
    };
    let mut base = Base::open(given, Some(storage)).await?;
    let registration = base.call("registration", &deps.registration);
    base.follow_parties(&registration);
    let devices = base.followed("registration", "devices");
    base.spawn(follow_devices(
        registration.clone(),
        store.clone(),
        base.clock(),
        devices,
        base.stop(),
    ));
    let entries = store.clone();
    base.compare_state(move || {
        let store = entries.clone();
        async move { foldings(&mut *store.database().readers().acquire().await?).await }
    });
    // Registration need not answer: reads and streams go on without it.
    let able = store.clone();
    base.serve_while(move || {
        let store = able.clone();
        async move { usable(store.database(), store.head().await).map(drop) }
    });

    let feed = Feed::new(
        store.database().clone(),
        store.log().clone(),
        base.clock(),
        base.draining().token(),
    );
    let meter = opentelemetry::global::meter("flag-registry");
    let metrics = Metrics::new(&meter);
    let active = FlagsBySupplier::default();
    base.spawn(active.watch(store.clone(), meter, base.stop()));
    let flags = Flags::new(store.clone(), feed, base.clock(), metrics);
    let routes = Routes::new(FlagServiceServer::new(flags));
    let followed = FollowedSuppliers::new(store, base.clock());
    let authority = RemoteAuthority::new(registration, followed, mesh_rpc::remaining);
    base.serve(listener, routes, authority, shutdown).await
}
