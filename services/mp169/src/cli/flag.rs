//! What can be asked of `mp169 flag`.

use clap::{Args, Subcommand, ValueEnum};
use mesh_types::DeviceId;

use super::connection::Connection;
use super::value::device;

/// `flag`
#[derive(Debug, Subcommand)]
pub enum FlagCommand {
    /// Sets the flag of an ESME or GSME, with the consumer's choice and the attestation.
    #[command(
        after_help = "Example:\n  mp169 flag add --as ALBION 02-DC-C0-00-00-00-08-E0 \\\n    \
        --channel telephone --evidence CALL-117 --step benefits-explained --contact CRM-55 \\\n    \
        --no-economy-7 --no-radio-teleswitch --no-network-managed-without-wan"
    )]
    Add(AddArgs),
    /// Lifts the flag, with the consumer's choice.
    Remove(RemoveArgs),
    /// Shows the flag of a Device.
    Get(GetArgs),
    /// Shows the history of a Device, newest first.
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
    #[arg(long, value_name = "TIME")]
    pub captured: Option<jiff::Timestamp>,
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

/// `flag add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The ESME or GSME, an EUI-64 such as 02-DC-C0-00-00-00-08-E0.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// What the consumer chose.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// A reasonable step that was taken, when the choice was captured; give it once for each.
    #[arg(long = "step", value_enum)]
    pub steps: Vec<StepArg>,
    /// Where the supplier keeps the record of the contact: no personal data.
    #[arg(long, value_name = "REFERENCE", default_value = "")]
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
    /// Check everything, change nothing.
    #[arg(long)]
    pub validate_only: bool,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}

/// `flag remove`
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The Device.
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

/// `flag get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The Device.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}

/// `flag history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The Device.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// At most this many events.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub limit: i32,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}
