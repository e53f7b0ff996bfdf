//! What can be asked of `mp169 status`.

use clap::Args;

use super::connection::Connection;

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it anew every second, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}
