//! `mp169 log accept-loss`: what is lost of a database's logs, and the operator's decision.

use anyhow::Result;
use mesh_store::accept_loss;
use mesh_store::offline::OfflineFile;

use crate::cli::log::AcceptLossArgs;
use crate::loss::{decision, explain, rehearsal, show};

/// Carries out the command.
pub(super) async fn run(args: AcceptLossArgs) -> Result<()> {
    let database = &args.database;
    let explain = |error| explain(database, error);
    let decision = decision(&args.reason);
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
