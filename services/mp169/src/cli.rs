//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mesh_types::DeviceId;

/// Reduced communications by consumer choice (SEC modification MP169): the mesh on one machine, and
/// the client of a mesh that runs.
#[derive(Debug, Parser)]
#[command(name = "mp169", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Send traces and metrics here, such as http://127.0.0.1:4317 (OTLP over gRPC).
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    pub otlp: Option<String>,
}

const EXIT_CODES: &str = "Exit codes:\n  \
    0  done\n  \
    1  failed\n  \
    2  the command line is wrong\n  \
    3  refused: not authenticated or not permitted\n  \
    4  refused: a precondition does not hold\n  \
    5  refused: the request is malformed, contradicts the record, or names nothing that exists\n  \
    6  not available now: try again";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays the main job end to end in a folder that is thrown away, and ends by itself.
    Demo(DemoArgs),
    /// Runs the five services until Ctrl-C.
    Up(UpArgs),
    /// Sets, lifts and shows flags, as the Responsible Supplier.
    #[command(subcommand)]
    Flag(FlagCommand),
    /// Says what becomes of messages: DUIS XML, or GBCS in binary or hexadecimal digits.
    Classify(ClassifyArgs),
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print one JSON object per step instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Show the services' log on standard error, from this level on (such as `info`).
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// `up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Folder of certificates, databases and addresses; made if missing.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The first of five ports in a row; 0 takes any that are free.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Load the sample inventory: three suppliers, about 1,000 Devices.
    #[arg(long)]
    pub sample: bool,
    /// Which log lines to show on standard error, in the syntax of `RUST_LOG`.
    #[arg(long, default_value = "warn")]
    pub log: String,
}

/// Which mesh to talk to, as whom, and how to show the answer.
#[derive(Debug, Args)]
pub struct Connection {
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show: a party such as ALBION, or an internal role such as operator.
    #[arg(long = "as", value_name = "IDENTITY", env = "MP169_AS")]
    pub identity: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One line of JSON per answer: the response message as protobuf has it in JSON.
    Json,
}

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

/// `classify`
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The files, one message each.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Where to ask; as the DSP unless said otherwise.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show.
    #[arg(
        long = "as",
        value_name = "IDENTITY",
        env = "MP169_AS",
        default_value = "dsp"
    )]
    pub identity: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Reads an EUI-64 as people type it: with dashes, with colons, or with nothing between the octets.
fn device(text: &str) -> Result<DeviceId, String> {
    let digits: Vec<char> = text.chars().filter(|&c| c != '-' && c != ':').collect();
    let octets: Vec<String> = digits
        .chunks(2)
        .map(|octet| octet.iter().collect())
        .collect();
    let device = octets.join("-").parse();
    device.map_err(|_| "a Device is named by eight octets, such as 02-DC-C0-00-00-00-08-E0".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn devices_are_read_as_people_type_them() {
        let expected = "02-DC-C0-00-00-00-08-E0".parse();
        for text in [
            "02-DC-C0-00-00-00-08-E0",
            "02:dc:c0:00:00:00:08:e0",
            "02DCC000000008E0",
        ] {
            assert_eq!(device(text).ok(), expected.ok(), "{text}");
        }
        for text in [
            "",
            "02DCC000000008E",
            "02-DC-C0-00-00-00-08-E0-00",
            "an ESME",
        ] {
            assert!(device(text).is_err(), "{text}");
        }
    }
}
