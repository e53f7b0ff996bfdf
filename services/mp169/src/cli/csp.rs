//! What can be asked of `mp169 csp`.

use clap::{Args, Subcommand, ValueEnum};
use mesh_types::CspId;

use super::connection::{Connection, Limit};

/// `csp`
#[derive(Debug, Subcommand)]
pub enum CspCommand {
    /// Shows the flag changes that concern the CSP's hubs as they come, until Ctrl-C.
    ///
    /// It begins after what was acknowledged, and ends by saying where to go on. A CSP has one stream:
    /// a program that is attached is cut off, and takes the stream back when it attaches again.
    #[command(after_help = "Examples:\n  \
        mp169 csp watch --home csp-central --once\n  \
        mp169 csp watch --home csp-central --from snapshot --once --output json\n  \
        mp169 csp watch --home csp-central --after 0 --once --acknowledge")]
    Watch(WatchArgs),
    /// Acknowledges every change up to one.
    #[command(after_help = "Example:\n  mp169 csp ack 1 --home csp-central")]
    Ack(AckArgs),
    /// Says how far a CSP is; an internal role sees all of them.
    #[command(after_help = "Examples:\n  \
        mp169 csp lag --home csp-central\n  \
        mp169 csp lag")]
    Lag(LagArgs),
}

/// `csp watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = From::Acknowledged)]
    pub from: From,
    /// Begin after this event of the CSP's log; 0 shows all of them.
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "from")]
    pub after: Option<u64>,
    /// End when everything up to the present was shown.
    #[arg(long)]
    pub once: bool,
    /// Acknowledge what was shown.
    #[arg(long)]
    pub acknowledge: bool,
    /// The CSP, such as north; the one that the certificate's party is if not said.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask, as a CSP.
    #[command(flatten)]
    pub connection: Connection,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// After what was acknowledged.
    Acknowledged,
    /// With the Devices that are reduced now, then what follows.
    Snapshot,
}

/// `csp ack`
#[derive(Debug, Args)]
pub struct AckArgs {
    /// The last event of the CSP's log that was applied.
    pub sequence: u64,
    /// The CSP, such as north; the one that the certificate's party is if not said.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask, as a CSP.
    #[command(flatten)]
    pub connection: Connection,
}

/// `csp lag`
#[derive(Debug, Args)]
pub struct LagArgs {
    /// The CSP, such as north; the one that the certificate's party is if not said, and all for an
    /// internal role.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}
