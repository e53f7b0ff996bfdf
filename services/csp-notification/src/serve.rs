//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::csp_notification::v1::csp_notification_service_server::CspNotificationServiceServer;
use mesh_audit::{Audit, Recordings};
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{FeedSettings, FollowedLog, follow_directory};
use mesh_rpc::{ClientOptions, Drained, Draining, Health, ServeOptions, Tls, connect, serve};
use mesh_service::{
    Background, OPERATIONS, Operations, RunError, exchange_time, recording, understood, usable,
    watch_clock, watch_health, watch_storage,
};
use mesh_store::{Database, Store, Writer, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::delivery::Attachments;
use crate::follower::follow_flags;
use crate::grpc::CspNotification;
use crate::source::Source;
use crate::store::{CspLogs, MIGRATIONS, projected};

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.csp_notification.v1.CspNotificationService";

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
    /// The times of the CSPs' streams.
    pub feed_settings: FeedSettings,
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
            feed_settings: FeedSettings::default(),
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
    let store = Store::open(&deps.database, &MIGRATIONS).await?;
    store.wake(&*deps.clock).await?;
    let (audit, audit_task) = Audit::open(
        "csp-notification",
        &deps.audit_database,
        recordings,
        Arc::clone(&deps.clock),
    )
    .await
    .map_err(RunError::Audit)?;
    let (writer, writer_task) = Writer::start(
        store.clone(),
        CspLogs,
        Arc::clone(&deps.clock),
        WriterSettings::default(),
    );
    let client = |service, address| {
        let options = ClientOptions::new(service, address, deps.tls.clone());
        connect(options.with_clock(Arc::clone(&deps.clock)))
    };
    let registration = client("registration", deps.registration);
    let flag_registry = client("flag-registry", deps.flag_registry);
    let directory = Directory::not_loaded();
    let health = Health::new(&[SERVICE, OPERATIONS, mesh_audit::SERVICE]);
    let draining = Draining::new();

    let background = Background::default();
    let followed = |log| FollowedLog::new("csp-notification", log, Arc::clone(&deps.clock));
    let (parties, flags) = (followed("parties"), followed("flags"));
    background.spawn(follow_directory(
        registration.clone(),
        directory.clone(),
        parties.clone(),
        background.stop(),
    ));
    background.spawn(exchange_time(
        vec![registration.clone(), flag_registry.clone()],
        Arc::clone(&deps.clock),
        background.stop(),
    ));
    background.spawn(watch_clock(
        "csp-notification",
        Arc::clone(&deps.clock),
        Some(store.clone()),
        background.stop(),
    ));
    background.spawn(watch_storage(
        "csp-notification",
        store.clone(),
        background.stop(),
    ));
    let source = Source::new(Arc::clone(&deps.clock));
    background.spawn(source.clone().watch(background.stop()));
    background.spawn(follow_flags(
        flag_registry,
        store.clone(),
        writer.clone(),
        flags.clone(),
        source.clone(),
        background.stop(),
    ));
    // Serving means that callers can be recognised, the store answers, calls are put on record, and what
    // is recorded gets the right time. The flag registry need not answer for that: CSPs get what is
    // known.
    let able = {
        let (store, audit, clock) = (store.clone(), audit.clone(), Arc::clone(&deps.clock));
        move || {
            let (store, audit, clock) = (store.clone(), audit.clone(), Arc::clone(&clock));
            let understood = understood(&parties).and_then(|()| understood(&flags));
            async move {
                audit.usable()?;
                understood?;
                recording(&*clock, &store).await?;
                usable(&store, projected(&store).await).map(drop)
            }
        }
    };
    background.spawn(watch_health(
        health.clone(),
        directory.clone(),
        able,
        background.stop(),
    ));

    let authority = RemoteAuthority::new(registration, ());
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let operations = Operations::server(
        "csp-notification",
        Arc::clone(&deps.clock),
        health.clone(),
        Some(store.clone()),
    );
    let clock = Arc::clone(&deps.clock);
    let handlers = CspNotification {
        store: store.clone(),
        writer,
        clock: deps.clock,
        draining: draining.token(),
        feed_settings: deps.feed_settings,
        attachments: Attachments::default(),
        source,
    };
    let routes = Routes::new(CspNotificationServiceServer::new(handlers))
        .add_service(operations)
        .add_service(audit.server(draining.token()));
    let options = ServeOptions::new(
        "csp-notification",
        listener,
        deps.tls,
        AuthorizeLayer::new(authorizer),
        audit.journal(),
        health,
        draining,
    )
    .with_clock(clock);
    let served = serve(options, routes, shutdown).await;

    background.shutdown().await;
    writer_task.shutdown().await;
    store.close().await;
    audit_task.shutdown().await;
    Ok(served?)
}
