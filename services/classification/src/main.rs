//! The process `classification`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    classification::process().await
}
