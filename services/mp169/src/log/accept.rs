//! `mp169 log accept-loss`: what is lost of a database's logs, and the operator's decision.

use std::path::PathBuf;

use anyhow::Result;
use mesh_store::accept_loss;
use mesh_store::offline::OfflineFile;
use mesh_types::LogName;

use crate::cli::log::AcceptLossArgs;
use crate::exit::Usage;
use crate::loss::{decision, explain, rehearsal, show};
use crate::service::Service;

/// Carries out the command.
pub(super) async fn run(args: AcceptLossArgs) -> Result<()> {
    let database = &database(&args)?;
    let explain = |error| explain(database, error);
    let decision = decision(&args.reason, &[]);
    let accepted = if args.consent.yes {
        accept_loss(database, &decision).await.map_err(explain)?
    } else {
        // Refuses one that a service has open.
        drop(OfflineFile::open(database).await.map_err(explain)?);
        let (_folder, copy) = rehearsal(database)?;
        accept_loss(&copy, &decision).await.map_err(explain)?
    };
    show(
        &[(database.clone(), accepted)],
        args.output,
        args.consent,
        "Accepted. Start the service again; its followers make everything anew.",
    )
}

/// The file that is named, or the one that has the log that is named.
fn database(args: &AcceptLossArgs) -> Result<PathBuf> {
    if let Some(database) = &args.database {
        return Ok(database.clone());
    }
    let log = args.log.as_ref().map_or("", LogName::as_str);
    let file = Service::database_of(log).ok_or_else(|| {
        Usage(format!(
            "no service has a log {log}; there are parties, devices, flags, csp/NAME, and audit/SERVICE"
        ))
    })?;
    Ok(args.home.join(file))
}
