//! The command `mp169`.

use std::process::ExitCode;

use clap::Parser as _;
use mp169::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => mp169::run(cli).await,
        Err(error) => mp169::misread(&error),
    }
}
