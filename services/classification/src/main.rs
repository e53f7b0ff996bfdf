//! The process `classification`.

use std::process::ExitCode;

use classification::{Deps, config::Config, run};
use mesh_store::Database;

#[tokio::main]
async fn main() -> ExitCode {
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
