//! The process `reporting`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    reporting::process().await
}
