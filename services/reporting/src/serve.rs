//! Which parts make up the running service, and in which order do they start and stop?

use std::sync::Arc;

use mesh_api::reporting::v1::reporting_service_server::ReportingServiceServer;
use mesh_authz::RemoteAuthority;
use mesh_rpc::{Drained, NotReady, Tls, WebListener};
use mesh_service::{Base, Given, RunError, Storage, usable};
use mesh_store::Database;
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::closing::close_months;
use crate::edition::Grace;
use crate::follow::{follow_devices, follow_flags};
use crate::grpc::{Followed, Reporting};
use crate::store::{ReportFolding, ReportStore};

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
    /// How long producers have for what is late before a month is closed.
    pub closing_grace: Grace,
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
            closing_grace: Grace::default(),
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
    run_with_pages(deps, listener, None, shutdown).await
}

/// The same with pages for browsers, which come to `web`.
pub async fn run_with_pages(
    deps: Deps,
    listener: TcpListener,
    web: Option<WebListener>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, RunError> {
    let (store, writer) = ReportStore::open(&deps.database, deps.clock.clone()).await?;
    let given = Given {
        service: "reporting",
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
    let flag_registry = base.call("flag-registry", &deps.flag_registry);
    base.follow_parties(&registration);
    let followed = Followed {
        devices: base.followed("registration", "devices"),
        flags: base.followed("flag-registry", "flags"),
    };
    base.spawn(follow_devices(
        registration.clone(),
        store.clone(),
        followed.devices.clone(),
        base.stop(),
    ));
    let settled = Arc::new(Notify::new());
    base.spawn(follow_flags(
        flag_registry,
        store.clone(),
        followed.flags.clone(),
        settled.clone(),
        base.stop(),
    ));
    base.spawn(close_months(
        store.clone(),
        base.clock(),
        deps.closing_grace,
        settled,
        base.stop(),
    ));
    base.compare_state(|| async { Ok(ReportFolding::all()) });
    // The owners of the logs need not answer: reports go on, and say what they rest on.
    let loaded = store.clone();
    base.serve_while(move || {
        let store = loaded.clone();
        async move {
            match usable(store.database(), store.is_loaded().await)? {
                true => Ok(()),
                false => Err(NotReady::because("logs-not-followed-yet")),
            }
        }
    });

    if let Some(web) = web {
        base.serve_pages(crate::web::pages(web, base.clock()));
    }

    let reporting = Reporting::new(
        store,
        base.directory(),
        base.clock(),
        followed,
        base.draining().token(),
    );
    let routes = Routes::new(ReportingServiceServer::new(reporting));
    // No rule here is about a Device, so registration is never asked for authority.
    let authority = RemoteAuthority::new(registration, (), mesh_rpc::remaining);
    base.serve(listener, routes, authority, shutdown).await
}
