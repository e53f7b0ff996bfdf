//! `mp169 outcome`: the DSP's commands about what became of Service Requests.

mod load;

use anyhow::Result;

use crate::cli::outcome::OutcomeCommand;

/// Carries out a command.
pub(crate) async fn run(command: OutcomeCommand) -> Result<()> {
    match command {
        OutcomeCommand::Load(args) => load::run(args).await,
    }
}
