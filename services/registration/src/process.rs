//! What does a process of this service make of its settings?

use std::process::ExitCode;

use crate::config::Config;
use crate::{Deps, run};

/// Runs the service as a process of its own, set from outside, until SIGTERM or Ctrl-C.
pub async fn process() -> ExitCode {
    mesh_service::process("registration", |config: Config, tls, listener, stop| {
        let mut deps = Deps::new(config.database.database(), tls);
        if let Some(database) = config.database.audit_database() {
            deps.audit_database = database;
        }
        deps.clock = config.process.clock();
        run(deps, listener, stop)
    })
    .await
}
