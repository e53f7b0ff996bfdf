//! The command `mp169`.

use std::process::ExitCode;

use clap::Parser as _;
use mp169::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    mp169::run(Cli::parse()).await
}
