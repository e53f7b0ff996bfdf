//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;
use std::time::Duration;

use mesh_api::csp_notification::v1::csp_notification_service_server::CspNotificationServiceServer;
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, RuleError, Rules};
use mesh_follow::{FeedSettings, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, ServeError, ServeOptions, Tls, connect, serve,
};
use mesh_store::{Store, StoreError, Writer, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::delivery::Attachments;
use crate::follower::follow_flags;
use crate::grpc::CspNotification;
use crate::store::{CspLogs, MIGRATIONS, projected};

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.csp_notification.v1.CspNotificationService";

/// How often the store is asked whether it still answers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The database: `sqlite://PATH`.
    pub database_url: String,
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
    pub fn new(database_url: &str, registration: &str, flag_registry: &str, tls: Tls) -> Self {
        Self {
            database_url: database_url.to_owned(),
            registration: registration.to_owned(),
            flag_registry: flag_registry.to_owned(),
            tls,
            clock: Arc::new(SystemClock),
            contracts: mesh_api::FILE_DESCRIPTOR_SET,
            feed_settings: FeedSettings::default(),
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
    let store = Store::open(&deps.database_url, &MIGRATIONS).await?;
    let (writer, writer_task) = Writer::start(
        store.clone(),
        CspLogs,
        Arc::clone(&deps.clock),
        WriterSettings::default(),
    );
    let client = |service, address| connect(ClientOptions::new(service, address, deps.tls.clone()));
    let registration = client("registration", deps.registration);
    let flag_registry = client("flag-registry", deps.flag_registry);
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
    tasks.spawn(follow_flags(
        flag_registry,
        store.clone(),
        writer.clone(),
        stop.clone(),
    ));
    tasks.spawn(watch_health(
        health.clone(),
        directory.clone(),
        store.clone(),
        stop.clone(),
    ));

    let authority = RemoteAuthority::new(registration, ());
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let handlers = CspNotification {
        store: store.clone(),
        writer,
        clock: deps.clock,
        draining: draining.token(),
        feed_settings: deps.feed_settings,
        attachments: Attachments::default(),
    };
    let routes = Routes::new(CspNotificationServiceServer::new(handlers));
    let options = ServeOptions::new(
        "csp-notification",
        listener,
        deps.tls,
        AuthorizeLayer::new(authorizer),
        health,
        draining,
    );
    let served = serve(options, routes, shutdown).await;

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    writer_task.shutdown().await;
    store.close().await;
    Ok(served?)
}

/// Says SERVING while callers can be recognised and the store answers. The flag registry need not
/// answer for that: CSPs get what is known.
async fn watch_health(health: Health, directory: Directory, store: Store, stop: CancellationToken) {
    let mut changes = directory.changes();
    loop {
        let ready = directory.is_loaded() && projected(&store).await.is_ok();
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
