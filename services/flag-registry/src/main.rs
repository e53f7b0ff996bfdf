//! The process `flag-registry`.

use std::process::ExitCode;

use flag_registry::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    mesh_service::process("flag-registry", |config: Config, tls, listener, stop| {
        let mut deps = Deps {
            quotas: config.quotas,
            clock: config.process.clock(),
            ..Deps::new(config.database.database(), &config.registration, tls)
        };
        if let Some(database) = config.database.audit_database() {
            deps.audit_database = database;
        }
        run(deps, listener, stop)
    })
    .await
}
