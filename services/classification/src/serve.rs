//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::classification::v1::classification_service_server::ClassificationServiceServer;
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, RuleError, Rules};
use mesh_follow::follow_directory;
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, ServeError, ServeOptions, Tls, connect, serve,
};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::classify::Classifier;
use crate::flags::Flags;
use crate::follow::{follow_flags, watch_source};
use crate::grpc::Classification;
use crate::metrics::Metrics;
use crate::policy::Policy;

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.classification.v1.ClassificationService";

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
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
    /// What is decided by.
    pub policy: Arc<Policy>,
}

impl Deps {
    /// With the machine's clock and the policy that is compiled in.
    #[must_use]
    pub fn new(registration: &str, flag_registry: &str, tls: Tls) -> Self {
        Self {
            registration: registration.to_owned(),
            flag_registry: flag_registry.to_owned(),
            tls,
            clock: Arc::new(SystemClock),
            contracts: mesh_api::FILE_DESCRIPTOR_SET,
            policy: Policy::builtin(),
        }
    }
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The contracts lack a rule.
    #[error("the contracts' rules cannot be used: {0}")]
    Rules(#[from] RuleError),
    /// The server cannot be built.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves on `listener` until `shutdown` resolves, then drains.
pub async fn run(
    deps: Deps,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, RunError> {
    let rules = Rules::read(deps.contracts, &[SERVICE])?;
    let client = |service, address| connect(ClientOptions::new(service, address, deps.tls.clone()));
    let registration = client("registration", deps.registration);
    let flag_registry = client("flag-registry", deps.flag_registry);
    let metrics = Metrics::new(&opentelemetry::global::meter("classification"));
    let flags = Flags::not_loaded(metrics.clone());
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
        flags.clone(),
        Arc::clone(&deps.clock),
        stop.clone(),
    ));
    tasks.spawn(watch_source(flags.clone(), deps.clock, stop.clone()));
    tasks.spawn(watch_health(health.clone(), flags.clone(), stop.clone()));

    let authority = RemoteAuthority::new(registration, ());
    let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
    let classifier = Classifier::new(deps.policy, flags, metrics);
    let handlers = Classification::new(classifier, draining.clone());
    let routes = Routes::new(ClassificationServiceServer::new(handlers));
    let options = ServeOptions::new(
        "classification",
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
    Ok(served?)
}

/// Says SERVING from the first snapshot on, stale or not: answers that say how old they are beat
/// none. The party directory is not needed for that, because every caller is an internal role.
async fn watch_health(health: Health, flags: Flags, stop: CancellationToken) {
    let mut changes = flags.changes();
    while !flags.is_loaded() {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
    }
    health.set_ready(true).await;
}
