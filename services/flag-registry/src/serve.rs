//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::flag_registry::v1::flag_service_server::FlagServiceServer;
use mesh_audit::{Audit, Recordings};
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{Feed, FollowedLog, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, MeshChannel, ServeOptions, Tls, connect, serve,
};
use mesh_service::{
    Background, OPERATIONS, Operations, RunError, exchange_time, recording, understood, usable,
    watch_clock, watch_health, watch_state, watch_storage,
};
use mesh_store::{Database, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::follow::{FollowedSuppliers, follow_devices};
use crate::grpc::Flags;
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::store::{EntryFolding, FlagStore};

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
    let rules = Rules::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let recordings = Recordings::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let clock = Arc::clone(&deps.clock);
    let settings = WriterSettings::default();
    let (store, writer) = FlagStore::open(&deps.database, clock, deps.quotas, settings).await?;
    let (audit, audit_task) = Audit::open(
        "flag-registry",
        &deps.audit_database,
        recordings,
        Arc::clone(&deps.clock),
    )
    .await
    .map_err(RunError::Audit)?;
    let registration = connect(
        ClientOptions::new("registration", deps.registration.clone(), deps.tls.clone())
            .with_clock(Arc::clone(&deps.clock)),
    );
    let parts = Parts {
        directory: Directory::not_loaded(),
        health: Health::new(&[SERVICE, OPERATIONS, mesh_audit::SERVICE]),
        draining: Draining::new(),
        store,
        audit,
        registration,
        deps,
    };

    let background = parts.start_tasks();
    let (options, routes) = parts.server(rules, listener);
    let served = serve(options, routes, shutdown).await;

    // Whoever gives commands stops first, then the writer, then the database.
    background.shutdown().await;
    writer.shutdown().await;
    parts.store.database().close().await;
    audit_task.shutdown().await;
    Ok(served?)
}

/// What tasks and handlers share.
struct Parts {
    deps: Deps,
    store: FlagStore,
    audit: Audit,
    registration: MeshChannel,
    directory: Directory,
    health: Health,
    draining: Draining,
}

impl Parts {
    /// Starts what runs beside the server.
    fn start_tasks(&self) -> Background {
        let background = Background::default();
        let followed = |log| FollowedLog::new("flag-registry", log, Arc::clone(&self.deps.clock));
        let (parties, devices) = (followed("parties"), followed("devices"));
        background.spawn(follow_directory(
            self.registration.clone(),
            self.directory.clone(),
            parties.clone(),
            background.stop(),
        ));
        background.spawn(follow_devices(
            self.registration.clone(),
            self.store.clone(),
            Arc::clone(&self.deps.clock),
            devices.clone(),
            background.stop(),
        ));
        let store = self.store.clone();
        let entries = move || {
            let store = store.clone();
            async move { Ok(vec![EntryFolding::new(&store.head().await?)]) }
        };
        background.spawn(watch_state(
            self.store.database().clone(),
            entries,
            background.stop(),
        ));
        background.spawn(exchange_time(
            vec![self.registration.clone()],
            Arc::clone(&self.deps.clock),
            background.stop(),
        ));
        background.spawn(watch_clock(
            "flag-registry",
            Arc::clone(&self.deps.clock),
            Some(self.store.database().clone()),
            background.stop(),
        ));
        background.spawn(watch_storage(
            "flag-registry",
            self.store.database().clone(),
            background.stop(),
        ));
        // Serving means that callers can be recognised, the store answers, calls are put on record, and
        // what is recorded gets the right time. Registration need not answer for that: reads and streams
        // go on without it.
        let (store, audit) = (self.store.clone(), self.audit.clone());
        let clock = Arc::clone(&self.deps.clock);
        let able = move || {
            let (store, audit, clock) = (store.clone(), audit.clone(), Arc::clone(&clock));
            let understood = understood(&parties).and_then(|()| understood(&devices));
            async move {
                audit.usable()?;
                understood?;
                recording(&*clock, store.database()).await?;
                usable(store.database(), store.head().await).map(drop)
            }
        };
        background.spawn(watch_health(
            self.health.clone(),
            self.directory.clone(),
            able,
            background.stop(),
        ));
        background
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
        let metrics = Metrics::new(&opentelemetry::global::meter("flag-registry"));
        let flags = Flags::new(self.store.clone(), feed, Arc::clone(clock), metrics);
        let options = ServeOptions::new(
            "flag-registry",
            listener,
            self.deps.tls.clone(),
            AuthorizeLayer::new(authorizer),
            self.audit.journal(),
            self.health.clone(),
            self.draining.clone(),
        )
        .with_clock(Arc::clone(clock));
        let operations = Operations::server(
            "flag-registry",
            Arc::clone(clock),
            self.health.clone(),
            Some(self.store.database().clone()),
        );
        let routes = Routes::new(FlagServiceServer::new(flags))
            .add_service(operations)
            .add_service(self.audit.server(self.draining.token()));
        (options, routes)
    }
}
