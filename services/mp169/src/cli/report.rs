//! What can be asked of `mp169 report`.

use clap::{Args, Subcommand, ValueEnum};
use mesh_types::PartyId;

use super::connection::{Connection, Limit};

/// `report`
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// How the Service Requests of a month ended, with what is excepted: per supplier and variant, or by
    /// business process.
    #[command(after_help = "Examples:\n  \
        mp169 report performance 2025-06\n  \
        mp169 report performance 2025-06 --by business-process\n  \
        mp169 report performance 2025-06 --by supplier,variant --business-process billing-reads\n  \
        mp169 report performance 2025-06 --as DRAGON --variant 4.8.1 --output json")]
    Performance(PerformanceArgs),
    /// The Devices of a month to which excepted Service Requests were sent, and how these ended.
    #[command(after_help = "Examples:\n  \
        mp169 report exceptions 2025-06\n  \
        mp169 report exceptions 2025-06 --as DRAGON --delivered")]
    Exceptions(ExceptionsArgs),
    /// How many meters are installed and commissioned per supplier, and how many reduced by choice.
    #[command(after_help = "Examples:\n  \
        mp169 report obligation\n  \
        mp169 report obligation --party EAGLE")]
    Obligation(ObligationArgs),
}

/// `report performance`
#[derive(Debug, Args)]
pub struct PerformanceArgs {
    /// The month (UTC), such as 2026-11.
    pub month: String,
    /// Only this supplier; a supplier's own figures if it asks.
    #[arg(long)]
    pub party: Option<PartyId>,
    /// Only this Service Reference Variant, such as 4.8.1.
    #[arg(
        long,
        value_name = "SRV",
        default_value = "",
        hide_default_value = true
    )]
    pub variant: String,
    /// Only the variants of this business process, such as billing-reads.
    #[arg(
        long,
        value_name = "KEY",
        default_value = "",
        hide_default_value = true
    )]
    pub business_process: String,
    /// What the figures are grouped by, in the order of the rows.
    #[arg(
        long,
        value_name = "DIMENSIONS",
        value_delimiter = ',',
        default_value = "supplier,variant"
    )]
    pub by: Vec<By>,
    /// How many rows.
    #[command(flatten)]
    pub limit: Limit,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection,
}

/// What figures can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The supplier that sent the requests.
    Supplier,
    /// The Service Reference Variant.
    Variant,
    /// The business process that the variant belongs to.
    BusinessProcess,
}

/// `report exceptions`
#[derive(Debug, Args)]
pub struct ExceptionsArgs {
    /// The month (UTC), such as 2026-11.
    pub month: String,
    /// Only this supplier's requests; a supplier's own if it asks.
    #[arg(long)]
    pub party: Option<PartyId>,
    /// Only where at least one was delivered all the same: the broken promises.
    #[arg(long)]
    pub delivered: bool,
    /// How many rows.
    #[command(flatten)]
    pub limit: Limit,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection,
}

/// `report obligation`
#[derive(Debug, Args)]
pub struct ObligationArgs {
    /// Only this supplier; a supplier's own figures if it asks.
    #[arg(long)]
    pub party: Option<PartyId>,
    /// How many rows.
    #[command(flatten)]
    pub limit: Limit,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection,
}
