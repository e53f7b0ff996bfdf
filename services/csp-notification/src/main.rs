//! The process `csp-notification`.

use std::process::ExitCode;

use csp_notification::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    mesh_service::process("csp-notification", |config: Config, tls, listener, stop| {
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
        run(deps, listener, stop)
    })
    .await
}
