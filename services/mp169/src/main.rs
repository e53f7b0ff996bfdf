//! The command `mp169`, and each service under its own name: one file can be the whole mesh. Whoever is started
//! as `registration`, as by a link of that name, is `registration`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mp169::Cli;
use mp169::service::Service;
use tokio::runtime::Runtime;

/// A look-up of a name cannot be called off. Whoever gave a command is not kept waiting for one that nobody
/// waits for any more.
const LAST_WORK: Duration = Duration::from_secs(1);

fn main() -> std::io::Result<ExitCode> {
    let runtime = Runtime::new()?;
    if let Some(service) = called() {
        return Ok(runtime.block_on(mp169::process(service)));
    }
    let ended = match Cli::try_parse() {
        Ok(cli) => runtime.block_on(mp169::run(cli)),
        Err(error) => mp169::misread(&error),
    };
    runtime.shutdown_timeout(LAST_WORK);
    Ok(ended)
}

/// The service under whose name the program was started.
fn called() -> Option<Service> {
    let started = std::env::args_os().next()?;
    let name = Path::new(&started).file_name()?;
    let mut all = Service::ALL.into_iter();
    all.find(|service| name == service.name())
}
