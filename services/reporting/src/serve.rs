//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::reporting::v1::reporting_service_server::ReportingServiceServer;
use mesh_audit::{Audit, Recordings};
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{FollowedLog, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, NotReady, ServeOptions, Tls, connect, serve,
};
use mesh_service::{
    Background, OPERATIONS, Operations, RunError, exchange_time, recording, understood, usable,
    watch_clock, watch_health, watch_storage,
};
use mesh_store::Database;
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::follow::{follow_devices, follow_flags};
use crate::grpc::{Followed, Reporting};
use crate::store::ReportStore;

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.reporting.v1.ReportingService";

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database, and whether it may be made.
    pub database: Database,
    /// The database of the audit.
    pub audit_database: Database,
    /// Where the service registration listens: `host:port`.
    pub registration: String,
    /// Where the service flag-registry listens: `host:port`.
    pub flag_registry: String,
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
    pub fn new(database: Database, registration: &str, flag_registry: &str, tls: Tls) -> Self {
        Self {
            audit_database: mesh_audit::beside(&database),
            database,
            registration: registration.to_owned(),
            flag_registry: flag_registry.to_owned(),
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
    let rules = Rules::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let recordings = Recordings::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let (store, writer) = ReportStore::open(&deps.database, deps.clock.clone()).await?;
    let (audit, audit_task) = Audit::open(
        "reporting",
        &deps.audit_database,
        recordings,
        Arc::clone(&deps.clock),
    )
    .await
    .map_err(RunError::Audit)?;
    let channel = |service, address| {
        let options = ClientOptions::new(service, address, deps.tls.clone());
        connect(options.with_clock(Arc::clone(&deps.clock)))
    };
    let registration = channel("registration", deps.registration);
    let flag_registry = channel("flag-registry", deps.flag_registry);
    let directory = Directory::not_loaded();
    let health = Health::new(&[SERVICE, OPERATIONS, mesh_audit::SERVICE]);
    let draining = Draining::new();

    let background = Background::default();
    let followed = |log| FollowedLog::new("reporting", log, Arc::clone(&deps.clock));
    let logs = ["parties", "devices", "flags"].map(followed);
    let [parties, devices, flags] = logs.clone();
    let followed = Followed {
        flags: flags.clone(),
        devices: devices.clone(),
    };
    background.spawn(follow_directory(
        registration.clone(),
        directory.clone(),
        parties,
        background.stop(),
    ));
    background.spawn(follow_devices(
        registration.clone(),
        store.clone(),
        devices,
        background.stop(),
    ));
    background.spawn(exchange_time(
        vec![registration.clone(), flag_registry.clone()],
        Arc::clone(&deps.clock),
        background.stop(),
    ));
    background.spawn(watch_clock(
        "reporting",
        Arc::clone(&deps.clock),
        Some(store.database().clone()),
        background.stop(),
    ));
    background.spawn(watch_storage(
        "reporting",
        store.database().clone(),
        background.stop(),
    ));
    background.spawn(follow_flags(
        flag_registry,
        store.clone(),
        flags,
        background.stop(),
    ));
    // Serving means that the store has what reports rest on, that calls are put on record, and that what
    // is recorded gets the right time. The owners of the logs need not answer: reports go on, and say
    // what they rest on.
    let able = {
        let (store, audit, clock) = (store.clone(), audit.clone(), Arc::clone(&deps.clock));
        move || {
            let (store, audit, clock) = (store.clone(), audit.clone(), Arc::clone(&clock));
            let understood = logs.iter().try_for_each(understood);
            async move {
                audit.usable()?;
                understood?;
                recording(&*clock, store.database()).await?;
                match usable(store.database(), store.is_loaded().await)? {
                    true => Ok(()),
                    false => Err(NotReady::because("logs-not-followed-yet")),
                }
            }
        }
    };
    background.spawn(watch_health(
        health.clone(),
        directory.clone(),
        able,
        background.stop(),
    ));

    let operations = Operations::server(
        "reporting",
        Arc::clone(&deps.clock),
        health.clone(),
        Some(store.database().clone()),
    );
    // No rule here is about a Device, so registration is never asked for authority.
    let authority = RemoteAuthority::new(registration, ());
    let clock = Arc::clone(&deps.clock);
    let reporting = Reporting::new(
        store.clone(),
        directory.clone(),
        deps.clock,
        followed,
        draining.token(),
    );
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let routes = Routes::new(ReportingServiceServer::new(reporting))
        .add_service(operations)
        .add_service(audit.server(draining.token()));
    let authorize = AuthorizeLayer::new(authorizer);
    let options = ServeOptions::new(
        "reporting",
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
    store.close().await;
    audit_task.shutdown().await;
    Ok(served?)
}
