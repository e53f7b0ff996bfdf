//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::classification::v1::classification_service_server::ClassificationServiceServer;
use mesh_authz::RemoteAuthority;
use mesh_rpc::{Drained, Health, NotReady, Tls};
use mesh_service::{Base, Given, RunError};
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
    let given = Given {
        service: "classification",
        serves: &[SERVICE],
        contracts: deps.contracts,
        tls: deps.tls,
        clock: deps.clock,
        audit_database: deps.audit_database,
    };
    let mut base = Base::open(given, None).await?;
    let registration = base.call("registration", &deps.registration);
    let flag_registry = base.call("flag-registry", &deps.flag_registry);
    let meter = opentelemetry::global::meter("classification");
    let metrics = Metrics::new(&meter);
    let flags = Flags::not_loaded(metrics.clone());
    flags.observe_age(base.clock(), &meter);
    base.follow_parties(&registration);
    let log = base.followed("flag-registry", "flags");
    base.spawn(follow_flags(
        flag_registry,
        flags.clone(),
        base.clock(),
        log,
        base.stop(),
    ));
    base.spawn(watch_source(flags.clone(), base.clock(), base.stop()));
    let held = flags.clone();
    base.holds_flags(move || {
        let view = held.view()?;
        view.set.len().try_into().ok()
    });
    base.spawn(serving_once_loaded(
        base.health(),
        flags.clone(),
        base.stop(),
    ));

    let classifier = Classifier::new(deps.policy, flags, metrics);
    let handlers = Classification::new(classifier, base.draining());
    // The chain in front measures each message by the limit in the contract.
    let server = ClassificationServiceServer::new(handlers);
    let routes = Routes::new(server.max_decoding_message_size(usize::MAX));
    let authority = RemoteAuthority::new(registration, (), mesh_rpc::remaining);
    base.serve(listener, routes, authority, shutdown).await
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
