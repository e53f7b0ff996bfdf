//! What can be asked on the command line. The arguments of each group of commands have a file in
//! `cli/`; what is done with them is in the file of the same name beside it.

pub(crate) mod classify;
pub(crate) mod connection;
pub(crate) mod flag;
pub(crate) mod log;
pub(crate) mod services;
mod value;

use clap::{Parser, Subcommand};

use classify::ClassifyArgs;
use flag::FlagCommand;
use log::LogCommand;
use services::{DemoArgs, UpArgs};

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
    6  not available now: try again\n  \
    7  a log is not whole (`log verify`)";

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
    /// Checks that the logs, which are the audit record, are whole, and exports their events.
    #[command(subcommand)]
    Log(LogCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
