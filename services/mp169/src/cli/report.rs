//! What can be asked of `mp169 report`.

use clap::{Args, Subcommand, ValueEnum};
use mesh_types::{CspId, PartyId};

use super::connection::{Connection, Limit};

/// `report`
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// How the Service Requests of a month ended, with what is excepted: per supplier and variant, or by
    /// business process.
    #[command(after_help = "Examples:\n  \
        mp169 report performance 2025-06\n  \
        mp169 report performance 2025-06 --output html > performance.html\n  \
        mp169 report performance 2025-06 --zone london\n  \
        mp169 report performance 2025-06 --by business-process\n  \
        mp169 report performance 2025-06 --by supplier,variant --business-process billing-reads\n  \
        mp169 report performance 2025-06 --as DRAGON --variant 4.8.1 --output json")]
    Performance(PerformanceArgs),
    /// The Devices of a month to which excepted Service Requests were sent, and how these ended.
    #[command(after_help = "Examples:\n  \
        mp169 report exceptions 2025-06\n  \
        mp169 report exceptions 2025-06 --as DRAGON --delivered --output csv > broken-promises.csv")]
    Exceptions(ExceptionsArgs),
    /// How many meters are installed and commissioned per supplier, and how many reduced by choice: now, or when a
    /// month ended.
    #[command(after_help = "Examples:\n  \
        mp169 report obligation\n  \
        mp169 report obligation --party EAGLE")]
    Obligation(ObligationArgs),
    /// Which months are closed and restated, and how much was recorded later.
    #[command(after_help = "Examples:\n  \
        mp169 report editions\n  \
        mp169 report editions 2025-06 --zone london --output json")]
    Editions(EditionsArgs),
    /// Closes a month without waiting, or restates it: its figures become an edition, which never changes.
    #[command(after_help = "Examples:\n  \
        mp169 report close 2025-06\n  \
        mp169 report close 2025-06 --zone london")]
    Close(CloseArgs),
    /// The content of an edition, as a text with a hash that anybody can check.
    #[command(after_help = "Examples:\n  \
        mp169 report content 2025-06 | sha256sum\n  \
        mp169 report content 2025-06 --edition 0 > 2025-06.txt")]
    Content(ContentArgs),
    /// The flags of a month per supplier and CSP: how many were set, why others ended, what changes of supplier did to
    /// them, and how many were active when it ended.
    #[command(after_help = "Examples:\n  \
        mp169 report flags 2026-11\n  \
        mp169 report flags 2026-11 --zone london --csp north\n  \
        mp169 report flags 2026-11 --as DRAGON --output csv > flags.csv")]
    Flags(FlagsArgs),
    /// How promptly each CSP took over the changes of flags that it was told in a month: from the change to its
    /// acknowledgement, and to when the CSP says that it had applied it.
    #[command(after_help = "Examples:\n  \
        mp169 report csp 2026-11\n  \
        mp169 report csp 2026-11 --zone london --csp central --output json\n  \
        mp169 report csp 2026-11 --home csp-central --output html > promptness.html")]
    Csp(CspArgs),
}

/// A calendar month.
#[derive(Debug, Args)]
pub struct Period {
    /// The month, such as 2026-11.
    pub month: String,
    /// Whose midnight begins it.
    #[arg(long, value_enum, default_value_t = Zone::Utc)]
    pub zone: Zone,
}

/// Where clocks show midnight when a month begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Zone {
    /// UTC.
    Utc,
    /// Great Britain: Europe/London.
    London,
}

/// Which figures of a month. If none is named: those of its last edition, and while there is none, everything that
/// is recorded.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Edition {
    /// Those of an edition: 0 is the closed report, 1 its first restatement.
    #[arg(long, value_name = "NUMBER")]
    pub edition: Option<u32>,
    /// Only what a restatement added to the edition before it.
    #[arg(long, value_name = "NUMBER")]
    pub added_by: Option<u32>,
    /// Everything that is recorded, also of a closed month.
    #[arg(long)]
    pub now: bool,
}

/// `report editions`
#[derive(Debug, Args)]
pub struct EditionsArgs {
    /// Only those of this month, such as 2026-11.
    pub month: Option<String>,
    /// Whose midnight begins it.
    #[arg(long, value_enum, default_value_t = Zone::Utc, requires = "month")]
    pub zone: Zone,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection<Form>,
}

/// `report close`
#[derive(Debug, Args)]
pub struct CloseArgs {
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// Its restatement of this number; 0 is the closed report. Whoever repeats a number gets the same edition.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub restatement: u32,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection<Form>,
}

/// `report content`
#[derive(Debug, Args)]
pub struct ContentArgs {
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// The edition: 0 is the closed report. The last one if not said.
    #[arg(long, value_name = "NUMBER")]
    pub edition: Option<u32>,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection,
}

/// `report performance`
#[derive(Debug, Args)]
pub struct PerformanceArgs {
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// Which figures of it.
    #[command(flatten)]
    pub edition: Edition,
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
    /// What the figures are grouped by, in the order of the rows. If not said, a table or CSV has them by
    /// supplier, business process and variant, and JSON and HTML are the whole report: also by supplier and by
    /// business process alone, with charts.
    #[arg(long, value_name = "DIMENSIONS", value_delimiter = ',')]
    pub by: Vec<By>,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection<Form>,
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
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// Which figures of it.
    #[command(flatten)]
    pub edition: Edition,
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
    pub connection: Connection<Form>,
}

/// `report obligation`
#[derive(Debug, Args)]
pub struct ObligationArgs {
    /// The month at whose end meters are counted, such as 2026-10; now if left out.
    pub month: Option<String>,
    /// Whose midnight ends it; UTC if left out.
    #[arg(long, value_enum, requires = "month")]
    pub zone: Option<Zone>,
    /// Only this supplier; a supplier's own figures if it asks.
    #[arg(long)]
    pub party: Option<PartyId>,
    /// The meters of which fuel, where there is room for one table only.
    #[arg(long, value_enum, default_value_t = Fuel::Electricity)]
    pub fuel: Fuel,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection<Form>,
}

/// `report flags`
#[derive(Debug, Args)]
pub struct FlagsArgs {
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// Only this supplier; a supplier's own flags if it asks.
    #[arg(long)]
    pub party: Option<PartyId>,
    /// Only this CSP, such as north or 4g.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection<Form>,
}

/// `report csp`
#[derive(Debug, Args)]
pub struct CspArgs {
    /// What it covers.
    #[command(flatten)]
    pub period: Period,
    /// Only this CSP, such as north or 4g; a CSP's own figures if it asks.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask; usually as the analyst.
    #[command(flatten)]
    pub connection: Connection<Form>,
}

/// Meters of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fuel {
    /// ESMEs.
    Electricity,
    /// GSMEs.
    Gas,
}

/// How to show a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people at a terminal.
    Table,
    /// For spreadsheets: one table, with a header.
    Csv,
    /// For programs: one object.
    Json,
    /// For people at a screen or on paper: one page that needs no other file.
    Html,
}
