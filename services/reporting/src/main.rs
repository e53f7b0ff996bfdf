//! The process `reporting`.

use std::process::ExitCode;

use clap::Parser as _;
use reporting::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    mesh_service::process("reporting", &config.process, |tls, listener, stop| {
        let deps = Deps::new(
            &config.database_url,
            &config.registration,
            &config.flag_registry,
            tls,
        );
        run(deps, listener, stop)
    })
    .await
}
