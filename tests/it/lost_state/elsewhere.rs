//! A service whose databases are not in the folder of its mesh.

use std::sync::Arc;

use anyhow::Result;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_rpc::Tls;
use mesh_store::Database;
use mp169::mesh::Site;
use mp169::service::Service;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where they are.
pub(super) struct Elsewhere {
    pub(super) own: Database,
    pub(super) audit: Database,
}

impl Elsewhere {
    /// Runs the service as [`Site::run`] does.
    pub(super) fn run(
        &self,
        site: &Site,
        service: Service,
        tls: Tls,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<bool>> {
        let (own, audit) = (self.own.clone(), self.audit.clone());
        let registration = &site.addresses[&Service::Registration];
        let flags = &site.addresses[&Service::FlagRegistry];
        let clock = Arc::clone(&site.clock);
        let stop = stop.cancelled_owned();
        let run = match service {
            Service::Registration => {
                let mut deps = registration::Deps::new(own, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                registration::run(deps, listener, stop).boxed()
            }
            Service::FlagRegistry => {
                let mut deps = flag_registry::Deps::new(own, registration, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                deps.quotas = site.quotas;
                flag_registry::run(deps, listener, stop).boxed()
            }
            Service::Classification => {
                let mut deps = classification::Deps::new(audit, registration, flags, tls);
                deps.clock = clock;
                classification::run(deps, listener, stop).boxed()
            }
            Service::CspNotification => {
                let mut deps = csp_notification::Deps::new(own, registration, flags, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                csp_notification::run(deps, listener, stop).boxed()
            }
            Service::Reporting => {
                let mut deps = reporting::Deps::new(own, registration, flags, tls);
                (deps.audit_database, deps.clock) = (audit, clock);
                reporting::run(deps, listener, stop).boxed()
            }
        };
        run.map(|ended| Ok(ended?.clean)).boxed()
    }
}
