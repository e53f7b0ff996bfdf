//! The process `flag-registry`.

use std::process::ExitCode;

use clap::Parser as _;
use flag_registry::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    mesh_service::process("flag-registry", &config.process, |tls, listener, stop| {
        let mut deps = Deps {
            quotas: config.quotas,
            ..Deps::new(&config.database_url, &config.registration, tls)
        };
        if let Some(url) = config.audit_database_url {
            deps.audit_database_url = url;
        }
        run(deps, listener, stop)
    })
    .await
}
