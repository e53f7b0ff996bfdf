//! `mp169 log accept-loss`: what is lost of a database's logs, and the operator's decision.

use anyhow::Result;
use mesh_store::{Location, accept_loss};
use mesh_types::LogName;

use crate::cli::log::AcceptLossArgs;
use crate::exit::Usage;
use crate::loss::{decision, explain, resolve, show};
use crate::service::Service;

/// Carries out the command.
pub(super) async fn run(args: AcceptLossArgs) -> Result<()> {
    let at = database(&args)?;
    let decision = decision(&args.reason, &[]);
    let accepted = accept_loss(&at, &decision, resolve(args.consent)).await;
    let accepted = accepted.map_err(|error| explain(&at, error))?;
    show(
        &[(at, accepted)],
        args.output,
        args.consent,
        "Accepted. Start the service again; its followers make everything anew.",
    )
}

/// The database that is named, or the one that has the log that is named.
fn database(args: &AcceptLossArgs) -> Result<Location> {
    if let Some(database) = &args.database {
        return Ok(database.clone());
    }
    let log = args.log.as_ref().map_or("", LogName::as_str);
    let file = Service::database_of(log).ok_or_else(|| {
        Usage(format!(
            "no service has a log {log}; there are parties, devices, flags, csp/NAME, and audit/SERVICE"
        ))
    })?;
    Ok(Location::from(&args.home.join(file)))
}
