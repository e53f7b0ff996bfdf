//! `mp169 db`: what is done to a database as a whole.

mod copy;
mod migrate;

use anyhow::Result;

use crate::cli::db::DbCommand;

/// Carries out a command.
pub(crate) async fn run(command: DbCommand) -> Result<()> {
    match command {
        DbCommand::Copy(args) => copy::run(args).await,
        DbCommand::Migrate(args) => migrate::run(&args).await,
    }
}
