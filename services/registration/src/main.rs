//! The process `registration`.

use std::process::ExitCode;

use clap::Parser as _;
use registration::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    mesh_service::process("registration", &config.process, |tls, listener, stop| {
        let deps = Deps::new(&config.database_url, tls);
        run(deps, listener, stop)
    })
    .await
}
