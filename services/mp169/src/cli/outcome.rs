//! What can be asked of `mp169 outcome`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reporting::outcome::Producer;

use super::connection::Connection;

/// `outcome`
#[derive(Debug, Subcommand)]
pub enum OutcomeCommand {
    /// Loads outcomes of Service Requests from files of any size, a thousand in a call.
    ///
    /// Columns of CSV, in any order, all of them needed:
    ///
    /// outcome_id: the producer's own, 1 to 64 printable ASCII characters; party_id: the supplier that sent the
    /// request or owns the schedule; device_id; service_reference_variant, such as 4.8.1; message_class, as
    /// classification answered, such as consumption; request_time, such as 2026-11-23T10:00:00Z; result:
    /// succeeded, failed or suppressed; origin: on-demand, scheduled or future-dated. How files are written is as
    /// free as with `mp169 device load`.
    ///
    /// In JSON Lines each line is an Outcome as protobuf has it in JSON.
    ///
    /// An outcome that is refused or cannot be read keeps no other out; each is told by its line. Outcomes that
    /// were sent before are duplicates and change nothing: a load that was cut off is given again as it was. A
    /// service that restarts meanwhile is waited for; what it had recorded without saying so then counts among
    /// the duplicates.
    #[command(after_help = "Examples:\n  \
        mp169 outcome load examples/outcomes/dragon.csv\n  \
        mp169 outcome load examples/outcomes/requests.csv examples/outcomes/requests.jsonl --dry-run\n  \
        mp169 outcome load - --format csv < examples/outcomes/dragon.csv")]
    Load(LoadArgs),
}

/// `outcome load`
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are written; if not said, their names end in .csv, .jsonl or .ndjson.
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
    /// Who produced them: 1 to 32 of a-z, 0-9 and '-'. Ids are unique per producer.
    #[arg(long, value_name = "NAME", default_value = "dsp")]
    pub producer: Producer,
    /// Check the files by themselves, without the mesh, and say what was not checked. Records nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where to ask; usually as the DSP.
    #[command(flatten)]
    pub connection: Connection,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Rows of cells, with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}
