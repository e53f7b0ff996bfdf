//! What can be asked of `mp169 flag`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mesh_api::flag_registry::v1::FlagState;
use mesh_types::DeviceId;

use super::connection::Connection;
use super::question::{Listing, Question};
use super::value::{device, named, time};

/// `flag`
#[derive(Debug, Subcommand)]
pub enum FlagCommand {
    /// Sets the flag of an ESME or GSME, with the consumer's choice and the attestation.
    #[command(after_help = "Example:\n  \
        mp169 flag add --as DRAGON 02-DC-C1-00-00-00-01-E0 --channel telephone --evidence CALL-117 \\\n    \
        --step benefits-explained --step consequences-explained --contact CRM-55 \\\n    \
        --no-economy-7 --no-radio-teleswitch --no-network-managed-without-wan")]
    Add(AddArgs),
    /// Records a change of tenancy: the incoming tenant keeps the flag, or lifts it.
    #[command(after_help = "Examples:\n  \
        mp169 flag tenancy --as DRAGON 02-DC-C1-00-00-00-01-E0 --since 2025-06-30 --wants reduced \\\n    \
        --channel online --evidence WEB-9 --step benefits-explained --contact CRM-56 \\\n    \
        --no-economy-7 --no-radio-teleswitch --no-network-managed-without-wan\n  \
        mp169 flag tenancy --as DRAGON 02-DC-C1-00-00-00-01-E0 --since 2025-07-31 --wants full \\\n    \
        --channel written --evidence LETTER-3")]
    Tenancy(TenancyArgs),
    /// Lifts the flag, with the consumer's choice.
    #[command(after_help = "Example:\n  \
        mp169 flag remove --as DRAGON 02-DC-C1-00-00-00-01-E0 --channel online --evidence WEB-10")]
    Remove(ChangeArgs),
    /// Sets and lifts flags as a CSV file says, in batches.
    ///
    /// Columns, in any order; those that stay empty can be left out:
    ///
    /// device_id; action: add or remove; channel: telephone, online, written, in-person or
    /// representative; captured_time: when the consumer said so, such as 2026-11-23T10:00:00Z;
    /// evidence_reference; and to add: steps, which were taken when the choice was captured
    /// (benefits-explained, consequences-explained, less-frequent-reads-offered, privacy-explained,
    /// other), several separated by spaces; contact_reference; and economy_7_or_similar,
    /// radio_teleswitch and network_managed_without_wan: absent or present. A column refused_because is
    /// passed over. How files are written is as free as with `mp169 device load`.
    ///
    /// Each row is a request of its own: one that is refused keeps no other out. Rows about one Device are
    /// carried out in their order. A row's request id is made from what the row says, so that the same
    /// row in any file is the same request for 30 days: a load that was cut off is given again as it
    /// was, and nothing is recorded twice. A row that was mended is another request.
    #[command(after_help = "Examples:\n  \
        mp169 flag load --as DRAGON examples/flags/choices.csv --validate-only\n  \
        mp169 flag load --as DRAGON examples/flags/choices.csv --refused refused.csv")]
    Load(LoadArgs),
    /// Shows the flag of a Device.
    #[command(after_help = "Examples:\n  \
        mp169 flag get --as DRAGON 02-DC-C1-00-00-00-01-E0\n  \
        mp169 flag get --as auditor 02-DC-C1-00-00-00-01-E0 --valid-at 2025-07-15 --output json")]
    Get(GetArgs),
    /// Lists flags: a supplier those of its own Devices, an internal role those of all.
    #[command(after_help = "Examples:\n  \
        mp169 flag list --as DRAGON --state flagged\n  \
        mp169 flag list --as auditor --csp central")]
    List(ListArgs),
    /// Shows the history of a Device, newest first.
    #[command(after_help = "Examples:\n  \
        mp169 flag history --as DRAGON 02-DC-C1-00-00-00-01-E0\n  \
        mp169 flag history --as auditor 02-DC-C1-00-00-00-01-E0 --as-of 2 --limit 5")]
    History(HistoryArgs),
}

/// The consumer's choice.
#[derive(Debug, Args)]
pub struct ChoiceArgs {
    /// How the consumer said so.
    #[arg(long, value_enum)]
    pub channel: ChannelArg,
    /// Where the supplier keeps the record: no personal data.
    #[arg(long, value_name = "REFERENCE")]
    pub evidence: String,
    /// When the consumer said so, such as 2026-11-23T10:00:00Z; now if not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub captured: Option<prost_types::Timestamp>,
    /// A UUID to be able to send the same request again, with the same `--captured`; drawn if not
    /// given.
    #[arg(long, value_name = "UUID", requires = "captured")]
    pub request_id: Option<String>,
}

/// How a consumer can say so.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ChannelArg {
    /// By telephone.
    Telephone,
    /// On a web site or in an app.
    Online,
    /// By post or e-mail.
    Written,
    /// At the premises or in a shop.
    InPerson,
    /// By somebody whom the consumer authorised.
    Representative,
}

/// What the supplier attests and declares.
#[derive(Debug, Args)]
pub struct AttestationArgs {
    /// A reasonable step that was taken, when the choice was captured; give it once for each.
    #[arg(long = "step", value_name = "STEP", value_enum)]
    pub steps: Vec<StepArg>,
    /// Where the supplier keeps the record of the contact: no personal data.
    #[arg(
        long,
        value_name = "REFERENCE",
        default_value = "",
        hide_default_value = true
    )]
    pub contact: String,
    /// Declare that there is no Economy 7 or similar tariff.
    #[arg(long)]
    pub no_economy_7: bool,
    /// Declare that there is no Radio Teleswitch.
    #[arg(long)]
    pub no_radio_teleswitch: bool,
    /// Declare that it is no potential network-managed site without WAN.
    #[arg(long)]
    pub no_network_managed_without_wan: bool,
}

/// A reasonable step.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StepArg {
    /// The benefits of full functionality were explained.
    BenefitsExplained,
    /// What is lost was explained.
    ConsequencesExplained,
    /// Less frequent reading was offered instead.
    LessFrequentReadsOffered,
    /// How data is protected was explained.
    PrivacyExplained,
    /// Another step; the contact's record says which.
    Other,
}

/// What a consumer can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreferenceArg {
    /// Reduced communications: the flag is kept.
    Reduced,
    /// Full smart functionality: the flag is lifted.
    Full,
}

/// What every change of a flag is told. Stands last where it is flattened: in the help its heading goes
/// on over whatever follows.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The Device, an EUI-64 such as 02-DC-C1-00-00-00-01-E0.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// What the consumer chose.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Check everything, change nothing.
    #[arg(long)]
    pub validate_only: bool,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}

/// `flag add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// What was done before.
    #[command(flatten)]
    pub attestation: AttestationArgs,
    /// What is changed, and on whose choice.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `flag tenancy`
#[derive(Debug, Args)]
pub struct TenancyArgs {
    /// When the new tenancy began, such as 2025-06-30.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: prost_types::Timestamp,
    /// What the incoming tenant wants.
    #[arg(long, value_enum)]
    pub wants: PreferenceArg,
    /// What was done with the incoming tenant: needed to keep the flag.
    #[command(flatten)]
    pub attestation: AttestationArgs,
    /// What is changed, and on the incoming tenant's choice.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `flag load`
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the rows that were refused to this file, with why in the column refused_because. Once
    /// they are mended it can be loaded as it is.
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// Check everything, change nothing: each row by what is recorded now.
    #[arg(long)]
    pub validate_only: bool,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}

/// `flag get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The Device.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// The instant that is asked about, not in the future; what holds now if not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub valid_at: Option<prost_types::Timestamp>,
    /// As of when, and where to ask.
    #[command(flatten)]
    pub question: Question,
}

/// `flag list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this state; every Device that has a history if not said.
    #[arg(long, value_parser = named(&["flagged", "not-flagged"], "FLAG_STATE_", FlagState::from_str_name))]
    pub state: Option<FlagState>,
    /// Only Devices on the hubs of this CSP, such as north.
    #[arg(
        long,
        value_name = "CSP",
        default_value = "",
        hide_default_value = true
    )]
    pub csp: String,
    /// Only Devices of this supplier; a supplier's own if it asks.
    #[arg(long, value_name = "PARTY")]
    pub party: Option<String>,
    /// How much of it, as of when, and where to ask.
    #[command(flatten)]
    pub listing: Listing,
}

/// `flag history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The Device.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// How much of it, as of when, and where to ask.
    #[command(flatten)]
    pub listing: Listing,
}
