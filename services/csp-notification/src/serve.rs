//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::csp_notification::v1::csp_notification_service_server::CspNotificationServiceServer;
use mesh_authz::RemoteAuthority;
use mesh_follow::FeedSettings;
use mesh_rpc::{Drained, Tls};
use mesh_service::{Base, Given, RunError, Storage, usable};
use mesh_store::{Database, Store, Writer, WriterSettings};
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::attachments::Attachments;
use crate::disputes::Disputes;
use crate::follower::follow_flags;
use crate::grpc::CspNotification;
use crate::lag::Lags;
use crate::source::Source;
use crate::store::{CspLogs, MIGRATIONS, foldings, projected};

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
    let store = Store::open(&deps.database, &MIGRATIONS).await?;
    store.wake(&*deps.clock).await?;
    let (clock, settings) = (Arc::clone(&deps.clock), WriterSettings::default());
    let (writer, task) = Writer::start(store.clone(), CspLogs, clock, settings);
    let given = Given {
        service: "csp-notification",
        serves: &[SERVICE],
        contracts: deps.contracts,
        tls: deps.tls,
        clock: deps.clock,
        audit_database: deps.audit_database,
    };
    let storage = Storage {
        store: store.clone(),
        writer: task,
    };
    let mut base = Base::open(given, Some(storage)).await?;
    let registration = base.call("registration", &deps.registration);
    let flag_registry = base.call("flag-registry", &deps.flag_registry);
    base.follow_parties(&registration);
    let flags = base.followed("flag-registry", "flags");
    let disputes = Disputes::default();
    let meter = opentelemetry::global::meter("csp-notification");
    let lags = Lags::default().watch(store.clone(), base.clock(), meter.clone(), base.stop());
    base.spawn(lags);
    base.spawn(disputes.clone().watch(store.clone(), meter, base.stop()));
    let source = Source::new(base.clock());
    base.spawn(source.clone().watch(base.stop()));
    base.spawn(follow_flags(
        flag_registry,
        store.clone(),
        writer.clone(),
        flags,
        source.clone(),
        base.stop(),
    ));
    let rows = store.clone();
    base.compare_state(move || {
        let store = rows.clone();
        async move { foldings(&mut *store.snapshot().await?).await }
    });
    // The flag registry need not answer: CSPs get what is known.
    let able = store.clone();
    base.serve_while(move || {
        let store = able.clone();
        async move { usable(&store, projected(&store).await).map(drop) }
    });

    let attachments = Attachments::new(store.clone(), writer.clone());
    base.spawn(attachments.clone().watch(base.stop()));
    let handlers = CspNotification {
        store,
        writer,
        clock: base.clock(),
        draining: base.draining().token(),
        feed_settings: deps.feed_settings,
        attachments,
        source,
        disputes,
    };
    let routes = Routes::new(CspNotificationServiceServer::new(handlers));
    let authority = RemoteAuthority::new(registration, (), mesh_rpc::remaining);
    base.serve(listener, routes, authority, shutdown).await
}
