//! The command `mp169`, and each service under its own name: one file can be the whole mesh. Whoever is started
//! as `registration`, as by a link of that name, is `registration`.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use mp169::Cli;
use mp169::service::Service;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(service) = called() {
        return mp169::process(service).await;
    }
    match Cli::try_parse() {
        Ok(cli) => mp169::run(cli).await,
        Err(error) => mp169::misread(&error),
    }
}

/// The service under whose name the program was started.
fn called() -> Option<Service> {
    let started = std::env::args_os().next()?;
    let name = Path::new(&started).file_name()?;
    let mut all = Service::ALL.into_iter();
    all.find(|service| name == service.name())
}
