//! What can be asked on the command line. The arguments of each group of commands have a file in
//! `cli/`; what is done with them is in the file of the same name beside it.

pub(crate) mod as_of;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod backup;
pub(crate) mod certificate;
pub(crate) mod classify;
pub(crate) mod connection;
pub(crate) mod csp;
pub(crate) mod db;
pub(crate) mod device;
pub(crate) mod flag;
pub(crate) mod log;
pub(crate) mod outcome;
pub(crate) mod p12;
pub(crate) mod party;
pub(crate) mod prepare;
pub(crate) mod question;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod server;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod value;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::CODES;
use audit::AuditCommand;
use authority::AuthorityCommand;
use backup::{BACKUP, BackupArgs};
use certificate::CertificateCommand;
use classify::ClassifyArgs;
use connection::Connection;
use csp::CspCommand;
use db::DbCommand;
use device::DeviceCommand;
use flag::FlagCommand;
use log::LogCommand;
use outcome::OutcomeCommand;
use party::PartyCommand;
use prepare::{PREPARE, PrepareArgs};
use report::ReportCommand;
use restore::{RESTORE, RestoreArgs};
use services::{DemoArgs, UpArgs};
use status::StatusArgs;

/// Reduced communications by consumer choice (SEC modification MP169): the mesh on one machine, and
/// the client of a mesh that runs.
///
/// Where nothing runs yet: `mp169 up` starts a mesh, `party add` and `party certificate` let somebody
/// in, `device load` fills the inventory, and `flag add` sets the first flag. Each command has examples
/// in its own --help.
#[derive(Debug, Parser)]
#[command(name = "mp169", version, after_help = CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Send traces, metrics and logs here, such as http://127.0.0.1:4317 (OTLP over gRPC).
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    pub otlp: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays the main job end to end, and ends by itself: in a folder that is thrown away, or on a mesh that runs.
    ///
    /// With --home, or where MP169_DEMO_HOME names a folder, as it does in containers, it is played on the mesh of that
    /// folder, which runs and goes on afterwards, and nothing is thrown away: a small town, its flags and its outcomes
    /// stay.
    Demo(DemoArgs),
    /// Runs the five services until Ctrl-C.
    Up(UpArgs),
    /// Loads the sample inventory into the mesh that runs.
    ///
    /// Three suppliers, an agent, a gateway, two CSPs and about 1,000 Devices, as `mp169 up --sample` loads them: for
    /// a mesh that runs elsewhere, as in containers. What is recorded already stays as it is, so that it can be given
    /// again; it says how many rows were recorded now and how many were there before. Not for a mesh with real
    /// parties: they could not be taken out again.
    #[command(after_help = "Example:\n  mp169 sample")]
    Sample(Connection),
    /// Looks for what is wrong with a mesh that runs, and says what to do about it.
    ///
    /// It asks every service, at each address that its name has, and prints a line for each check, the
    /// worst last: certificates and their ends, clocks, health, databases and their schemas, followers, how
    /// fresh each classifier is, CSPs, deny-lists, versions. Who does not answer within 3 seconds is one finding.
    /// It ends with exit code 0 if all is well, 10 if nothing is wrong yet, and 6 or 7 otherwise.
    #[command(after_help = "Examples:\n  mp169 doctor\n  mp169 doctor --output json")]
    Doctor(Connection),
    /// Shows the mesh on one screen: services, logs and who follows them, CSPs, flags.
    ///
    /// With --watch it is shown anew every second until Ctrl-C: in place on a terminal, elsewhere a block for each
    /// look. What is wrong, and what to do about it, says `mp169 doctor`.
    #[command(after_help = "Examples:\n  mp169 status\n  mp169 status --output json")]
    Status(StatusArgs),
    /// Prepares what services need that run apart, as in containers: certificates, passwords, addresses.
    #[command(after_help = PREPARE)]
    Prepare(PrepareArgs),
    /// Records and shows parties, and issues their certificates, as the operator.
    #[command(subcommand)]
    Party(PartyCommand),
    /// Revokes certificates while the mesh runs, and issues those of internal roles.
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Loads, changes and shows the inventory and the registrations.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Sets, lifts and shows flags, as the Responsible Supplier.
    #[command(subcommand)]
    Flag(FlagCommand),
    /// Says who may act on a Device.
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Says what becomes of messages: DUIS XML, or GBCS in binary, hexadecimal digits or base64.
    #[command(
        after_help = "Examples:\n  mp169 classify examples/messages/*\n  mp169 classify - < examples/messages/top-up.xml"
    )]
    Classify(ClassifyArgs),
    /// Shows a CSP the flag changes that concern it, and acknowledges them.
    #[command(subcommand)]
    Csp(CspCommand),
    /// Reports what became of Service Requests, as the DSP.
    #[command(subcommand)]
    Outcome(OutcomeCommand),
    /// Shows reports.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Copies the databases of a mesh while it runs, checks each copy, and lists what it holds.
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Puts copies that `mp169 backup` made in place of databases that are lost.
    #[command(after_help = RESTORE)]
    Restore(RestoreArgs),
    /// Looks after databases: brings their schemas up to date, and moves them to another place.
    #[command(subcommand)]
    Db(DbCommand),
    /// Checks that the logs, which record every change, are whole, and exports their events.
    #[command(subcommand)]
    Log(LogCommand),
    /// Shows, checks and exports what is on record of calls: who did and read what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Prints the script that lets a shell complete this command.
    #[command(after_help = "Example:\n  mp169 completions bash > mp169.bash")]
    Completions {
        /// The shell.
        shell: Shell,
    },
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
