//! The process `flag-registry`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flag_registry::process().await
}
