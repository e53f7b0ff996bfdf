//! The process `registration`.

use std::process::ExitCode;

use clap::Parser as _;
use registration::{Deps, config::Config, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    mesh_service::process("registration", &config.process, |tls, listener, stop| {
        let mut deps = Deps::new(&config.database_url, tls);
        if let Some(url) = config.audit_database_url {
            deps.audit_database_url = url;
        }
        run(deps, listener, stop)
    })
    .await
}
