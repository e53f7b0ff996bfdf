//! What can be asked of `mp169 log`.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, Subcommand};
use mesh_store::Location;
use mesh_types::LogName;

use super::connection::Output;
use super::restore::Consent;

const VERIFY: &str = "Every event is checked, from the first to the log's head: that none is missing, \
    added or moved, that its octets give its hash, that its hash rests on the one before it, and that \
    number and time beside it are those in it. Of a database file all columns of the logs are checked, \
    and then the file's own form; a server checks its own files, and its logs are read as they are when the \
    command begins.\n\n\
    With --state each service compares its other tables with its log as well, row by row (reporting, which \
    has no log, with each other), and checks its database file; a service in which something does not fit \
    takes no writes from then on. A copy tells by its tables whose it is.\n\n\
    Not covered: events cut off at the end together with the head, which only another copy shows. \
    Compare the last hash.\n\n\
    Of a mesh that runs it is also shown where each service stands with each log that it follows, held against \
    what the owner of the log has there; which losses operators have accepted; and who does not serve, and why \
    not. (Not with --log.)\n\n\
    On a server, or on its standby:\n  \
    mp169 log verify --database postgres://auditor@db/flag-registry --state\n\n\
    Exit codes: 0 everything fits; 7 something does not, or a service says so of its own database; 6 a service \
    cannot be asked, does not serve for another reason, or has not followed a log for more than 10 seconds; \
    others as for every command.\n\n\
    Examples:\n  \
    mp169 log verify\n  \
    mp169 log verify --log flags --output json\n  \
    mp169 log verify --home csp-central --log csp/central\n  \
    mp169 log verify --state\n  \
    mp169 log verify --database backup/flag-registry.db --state";

const EXPORT: &str = "Nothing is checked, so that a damaged copy can be exported. A line is\n  \
    {\"log\", \"epoch\", \"sequence\", \"recorded_time\", \"previous_hash\", \"hash\", \"event\", \"decoded\"}\n\
    with hashes and the event's octets in hexadecimal digits, numbers of 64 bits as strings, and the \
    event as protobuf has it in JSON (null if it cannot be read). The hash of event n is\n  \
    SHA-256(hash of event n-1, n as eight big-endian octets, event)\n\
    and that before the first event\n  \
    SHA-256(\"mp169 log\", 0x00, log, 0x00, epoch as eight big-endian octets).\n\
    tests/verify_log.py checks an export by that.\n\n\
    Examples:\n  \
    mp169 log export --log flags > flags.jsonl\n  \
    mp169 log export --log devices --after 1000 --until 2000\n  \
    mp169 log export --database backup/registration.db";

const ACCEPT_LOSS: &str = "For a database that is older than it was, or of which a part is gone, once it is certain that the \
    right file will not come back. Its service must be stopped.\n\n\
    Every log of the database begins a new history, with a new epoch: its events, sequences and hash chain \
    go on after the last event that is there. What was lost, by whose word, when and why is kept in \
    the database; of a file, the witness and the -wal are kept beside it as they were. When the service starts again \
    its followers make everything anew from a snapshot, and a CSP is told the differences as events of its \
    own log. A flag whose event is lost is not set any more: tell its supplier, who sets it again.\n\n\
    On a server:\n  \
    mp169 log accept-loss --database postgres://mp169@db/flag-registry --reason 'standby promoted, ticket 118'\n\n\
    Without --yes nothing is changed: what would be accepted is shown, and the exit code is 4, or 0 with \
    --dry-run.\n\n\
    Example:\n  \
    mp169 log accept-loss --database backup/flag-registry.db --reason 'disk lost, ticket 117' --dry-run";

/// `log`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Checks that logs are whole, and names the first event that does not fit.
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
    /// Prints the events of logs with their hashes, one line of JSON each.
    #[command(after_help = EXPORT)]
    Export(ExportArgs),
    /// Accepts for good that events of a database's logs are lost, and lets new histories begin.
    #[command(after_help = ACCEPT_LOSS)]
    AcceptLoss(AcceptLossArgs),
}

/// Which logs, and where they are.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Read this database instead of asking the services: a copy, the file of a service that is stopped, or
    /// postgres://USER@HOST:PORT/DATABASE as it is now, also on a standby. It is not changed, and nothing is
    /// written beside it.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str)]
    pub database: Option<Location>,
    /// The log: parties, devices, flags, or csp/ and a CSP's name (as that CSP, whose stream is taken
    /// over meanwhile). Give it once for each; otherwise all that the file or an auditor has.
    #[arg(long = "log", value_name = "NAME")]
    pub logs: Vec<LogName>,
    /// Where to ask; usually as the auditor.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show.
    #[arg(long = "as", value_name = "IDENTITY", env = "MP169_AS")]
    pub identity: Option<String>,
}

/// `log verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which logs.
    #[command(flatten)]
    pub logs: LogsArgs,
    /// Compare what the services made of their events, too: the rows of their tables.
    #[arg(long, conflicts_with = "logs")]
    pub state: bool,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `log export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Which logs.
    #[command(flatten)]
    pub logs: LogsArgs,
    /// Only events after this one.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub after: u64,
    /// Only events up to this one; up to the log's head if not given.
    #[arg(long, value_name = "SEQUENCE")]
    pub until: Option<u64>,
}

/// `log accept-loss`
#[derive(Debug, Args)]
pub struct AcceptLossArgs {
    /// The database of the service that is stopped: a path, or postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str, required_unless_present = "log", conflicts_with = "log")]
    pub database: Option<Location>,
    /// Instead: a log of that database, such as flags, in the folder of a mesh.
    #[arg(long, value_name = "NAME")]
    pub log: Option<LogName>,
    /// The folder of the mesh that has the log.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Why: kept in the database. No personal data.
    #[arg(long)]
    pub reason: String,
    /// Whether to do it.
    #[command(flatten)]
    pub consent: Consent,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}
