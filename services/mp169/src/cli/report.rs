//! What can be asked of `mp169 report`.

use clap::{Args, Subcommand};
use mesh_types::PartyId;

use super::connection::{Connection, Limit};

/// `report`
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// How the Service Requests of a month ended, per supplier and variant, with what is excepted.
    #[command(after_help = "Examples:\n  \
        mp169 report performance 2025-06\n  \
        mp169 report performance 2025-06 --as DRAGON --variant 4.8.1 --output json")]
    Performance(PerformanceArgs),
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
