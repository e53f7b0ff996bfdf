//! What does a process of this service make of its settings?

use std::net::SocketAddr;
use std::process::ExitCode;

use mesh_rpc::WebListener;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::edition::Grace;
use crate::{Deps, RunError, run_with_pages};

/// Runs the service as a process of its own, set from outside, until SIGTERM or Ctrl-C.
pub async fn process() -> ExitCode {
    mesh_service::process("reporting", async |config: Config, tls, listener, stop| {
        let web = match config.web {
            Some(address) => Some(browsers(address).await?),
            None => None,
        };
        let mut deps = Deps::new(
            config.database.database(),
            &config.registration,
            &config.flag_registry,
            tls,
        );
        if let Some(database) = config.database.audit_database() {
            deps.audit_database = database;
        }
        deps.clock = config.process.clock();
        deps.closing_grace = Grace::of_days(config.closing_grace_days);
        run_with_pages(deps, listener, web, stop).await
    })
    .await
}

async fn browsers(address: SocketAddr) -> Result<WebListener, RunError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| {
        tracing::info!(address = %listener.local_addr()?, "listening for browsers");
        Ok(listener)
    });
    let listener = bound.map_err(|error| RunError::Listen(address, error))?;
    Ok(WebListener::with_certificates(listener))
}
