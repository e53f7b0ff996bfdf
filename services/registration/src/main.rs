//! The process `registration`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    registration::process().await
}
