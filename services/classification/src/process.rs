//! What does a process of this service make of its settings?

use std::process::ExitCode;

use mesh_store::Database;

use crate::config::Config;
use crate::{Deps, run};

/// Runs the service as a process of its own, set from outside, until SIGTERM or Ctrl-C.
pub async fn process() -> ExitCode {
    mesh_service::process("classification", |config: Config, tls, listener, stop| {
        let audit = Database {
            url: config.audit_database_url,
            create: config.create,
        };
        let mut deps = Deps::new(audit, &config.registration, &config.flag_registry, tls);
        deps.clock = config.process.clock();
        run(deps, listener, stop)
    })
    .await
}
