//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::classification::v1::classification_service_server::ClassificationServiceServer;
use mesh_audit::{Audit, Recordings};
use mesh_authz::{AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_follow::{FollowedLog, follow_directory};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, MeshChannel, NotReady, ServeOptions, Tls, connect,
    serve,
};
use mesh_service::{Background, OPERATIONS, Operations, RunError, exchange_time, watch_clock};
use mesh_store::Database;
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
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
    /// What is decided by.
    pub policy: Arc<Policy>,
}

impl Deps {
    /// With the machine's clock and the policy that is compiled in.
    #[must_use]
    pub fn new(
        audit_database: Database,
        registration: &str,
        flag_registry: &str,
        tls: Tls,
    ) -> Self {
        Self {
            audit_database,
            registration: registration.to_owned(),
            flag_registry: flag_registry.to_owned(),
            tls,
            clock: Arc::new(SystemClock),
            contracts: mesh_api::FILE_DESCRIPTOR_SET,
            policy: Policy::builtin(),
        }
    }
}

/// Serves on `listener` until `shutdown` resolves, then drains.
pub async fn run(
    deps: Deps,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, RunError> {
    let rules = Rules::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let recordings = Recordings::read(deps.contracts, &[SERVICE, OPERATIONS, mesh_audit::SERVICE])?;
    let (audit, audit_task) = Audit::open(
        "classification",
        &deps.audit_database,
        recordings,
        Arc::clone(&deps.clock),
    )
    .await
    .map_err(RunError::Audit)?;
    let client = |service, address: &str| {
        let options = ClientOptions::new(service, address, deps.tls.clone());
        connect(options.with_clock(Arc::clone(&deps.clock)))
    };
    let metrics = Metrics::new(&opentelemetry::global::meter("classification"));
    let parts = Parts {
        registration: client("registration", &deps.registration),
        flag_registry: client("flag-registry", &deps.flag_registry),
        flags: Flags::not_loaded(metrics.clone()),
        directory: Directory::not_loaded(),
        health: Health::new(&[SERVICE, OPERATIONS, mesh_audit::SERVICE]),
        draining: Draining::new(),
        metrics,
        audit,
        deps,
    };

    let background = parts.start_tasks();
    let (options, routes) = parts.server(rules, listener);
    let served = serve(options, routes, shutdown).await;

    background.shutdown().await;
    audit_task.shutdown().await;
    Ok(served?)
}

/// What tasks and handlers share.
struct Parts {
    deps: Deps,
    registration: MeshChannel,
    flag_registry: MeshChannel,
    flags: Flags,
    metrics: Metrics,
    audit: Audit,
    directory: Directory,
    health: Health,
    draining: Draining,
}

impl Parts {
    /// Starts what runs beside the server.
    fn start_tasks(&self) -> Background {
        let background = Background::default();
        let followed = |log| FollowedLog::new("classification", log, Arc::clone(&self.deps.clock));
        background.spawn(follow_directory(
            self.registration.clone(),
            self.directory.clone(),
            followed("parties"),
            background.stop(),
        ));
        background.spawn(follow_flags(
            self.flag_registry.clone(),
            self.flags.clone(),
            Arc::clone(&self.deps.clock),
            followed("flags"),
            background.stop(),
        ));
        background.spawn(watch_source(
            self.flags.clone(),
            Arc::clone(&self.deps.clock),
            background.stop(),
        ));
        background.spawn(exchange_time(
            vec![self.registration.clone(), self.flag_registry.clone()],
            Arc::clone(&self.deps.clock),
            background.stop(),
        ));
        background.spawn(watch_clock(
            "classification",
            Arc::clone(&self.deps.clock),
            None,
            background.stop(),
        ));
        background.spawn(serving_once_loaded(
            self.health.clone(),
            self.flags.clone(),
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
        let authority = RemoteAuthority::new(self.registration.clone(), ());
        let authorizer = Authorizer::new(rules, self.directory.clone(), Arc::new(authority));
        let policy = Arc::clone(&self.deps.policy);
        let classifier = Classifier::new(policy, self.flags.clone(), self.metrics.clone());
        let handlers = Classification::new(classifier, self.draining.clone());
        let options = ServeOptions::new(
            "classification",
            listener,
            self.deps.tls.clone(),
            AuthorizeLayer::new(authorizer),
            self.audit.journal(),
            self.health.clone(),
            self.draining.clone(),
        )
        .with_clock(Arc::clone(&self.deps.clock));
        // The chain in front measures each message by the limit in the contract.
        let server = ClassificationServiceServer::new(handlers);
        let server = server.max_decoding_message_size(usize::MAX);
        let operations = Operations::server(
            "classification",
            Arc::clone(&self.deps.clock),
            self.health.clone(),
            None,
        );
        (
            options,
            Routes::new(server)
                .add_service(operations)
                .add_service(self.audit.server(self.draining.token())),
        )
    }
}

/// Says SERVING from the first snapshot on, stale or not: answers that say how old they are beat
/// none. The party directory is not needed for that, because every caller is an internal role. Nor is
/// the audit: what decides is counted, and goes on while nothing can be put on record.
async fn serving_once_loaded(health: Health, flags: Flags, stop: CancellationToken) {
    health.set(Err(NotReady::because("flags-not-loaded")));
    let mut changes = flags.changes();
    while !flags.is_loaded() {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
    }
    health.set(Ok(()));
}
