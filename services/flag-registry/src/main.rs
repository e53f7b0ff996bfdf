//! The process `flag-registry`.

use std::process::ExitCode;

use clap::Parser as _;
use flag_registry::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    mesh_service::process("flag-registry", &config.process, |tls, listener, stop| {
        let deps = Deps {
            quotas: config.quotas,
            ..Deps::new(&config.database_url, &config.registration, tls)
        };
        run(deps, listener, stop)
    })
    .await
}
