//! The process `csp-notification`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    csp_notification::process().await
}
