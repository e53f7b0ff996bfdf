//! What can be asked of `mp169 audit`.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, Subcommand};
use mesh_store::Location;
use mesh_types::{DeviceId, LogName};

use super::connection::{Connection, Limit, Output};
use super::log::{ExportArgs, LogsArgs, VerifyArgs};
use super::value::{device, service, time};
use crate::service::Service;

const LIST: &str = "Examples:\n  \
    mp169 audit list --service flag-registry --limit 20\n  \
    mp169 audit list --refused --caller ALBION\n  \
    mp169 audit list --device 02-DC-C1-00-00-00-01-E0 --from 2026-11-01\n  \
    mp169 audit list --answer NOT_RESPONSIBLE_SUPPLIER\n  \
    mp169 audit list --rpc PutParty --output json";
const VERIFY: &str = "As `mp169 log verify` checks the other logs, with the same exit codes.\n\n\
    Examples:\n  \
    mp169 audit verify\n  \
    mp169 audit verify --service reporting\n  \
    mp169 audit verify --database backup/flag-registry-audit.db";
const EXPORT: &str = "As `mp169 log export` prints the other logs; tests/verify_log.py checks it.\n\n\
    Examples:\n  \
    mp169 audit export --service flag-registry > audit.jsonl\n  \
    mp169 audit export --database backup/flag-registry-audit.db";

/// `audit`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Shows records, newest first: who called what, for whom, and what was answered.
    #[command(after_help = LIST)]
    List(Box<ListArgs>),
    /// Checks that the logs of the audit are whole, and names the first event that does not fit.
    #[command(after_help = VERIFY)]
    Verify(CheckArgs),
    /// Prints the events of the logs with their hashes, one line of JSON each.
    #[command(after_help = EXPORT)]
    Export(CopyArgs),
}

/// `audit list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The service. Give it once for each; otherwise all five are asked.
    #[arg(long = "service", value_name = "SERVICE", value_parser = service)]
    pub services: Vec<Service>,
    /// Only what was recorded at this time or later.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<prost_types::Timestamp>,
    /// Only what was recorded before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<prost_types::Timestamp>,
    /// Only calls of this party, certificate (by its EUI-64) or internal role.
    #[arg(long, value_name = "PARTY|EUI-64|ROLE")]
    pub caller: Option<String>,
    /// Only calls of this RPC, such as AddFlag.
    #[arg(long, value_name = "RPC")]
    pub rpc: Option<String>,
    /// Only calls that were not answered OK.
    #[arg(long)]
    pub refused: bool,
    /// Only calls that were answered so: by a gRPC code, or for a reason.
    #[arg(long, value_name = "CODE|REASON")]
    pub answer: Option<String>,
    /// Only calls about this Device.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub device: Option<DeviceId>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// Which mesh; usually as the auditor.
    #[command(flatten)]
    pub connection: Connection,
}

/// Whose logs, and where they are.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// The service. Give it once for each; otherwise all five are asked.
    #[arg(long = "service", value_name = "SERVICE", value_parser = service)]
    pub services: Vec<Service>,
    /// Read this database instead of asking the services: a copy, the file of a service that is stopped, or
    /// postgres://USER@HOST:PORT/DATABASE as it is now. It is not changed.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str, conflicts_with = "services")]
    pub database: Option<Location>,
    /// Where to ask; usually as the auditor.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show.
    #[arg(long = "as", value_name = "IDENTITY", env = "MP169_AS")]
    pub identity: Option<String>,
}

/// `audit verify`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which logs.
    #[command(flatten)]
    pub logs: WhereArgs,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `audit export`
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Which logs.
    #[command(flatten)]
    pub logs: WhereArgs,
    /// Only events after this one.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub after: u64,
    /// Only events up to this one; up to the log's head if not given.
    #[arg(long, value_name = "SEQUENCE")]
    pub until: Option<u64>,
}

impl WhereArgs {
    fn into_logs(self) -> LogsArgs {
        let logs = match self.database {
            // Whatever stands in the file.
            Some(_) => Vec::new(),
            None => asked(&self.services)
                .filter_map(|service| log_of(service).parse::<LogName>().ok())
                .collect(),
        };
        LogsArgs {
            database: self.database,
            logs,
            home: self.home,
            identity: self.identity,
        }
    }
}

impl CheckArgs {
    /// As they are for any log.
    pub(crate) fn into_verify(self) -> VerifyArgs {
        VerifyArgs {
            logs: self.logs.into_logs(),
            // The rows of an audit are its log.
            state: false,
            output: self.output,
        }
    }
}

impl CopyArgs {
    /// As they are for any log.
    pub(crate) fn into_export(self) -> ExportArgs {
        ExportArgs {
            logs: self.logs.into_logs(),
            after: self.after,
            until: self.until,
        }
    }
}

/// The services that are asked for; all of them if none is named.
pub(crate) fn asked(named: &[Service]) -> impl Iterator<Item = Service> {
    let named = named.to_vec();
    Service::ALL
        .into_iter()
        .filter(move |service| named.is_empty() || named.contains(service))
}

/// The name of the log in which a service keeps its audit.
pub(crate) fn log_of(service: Service) -> String {
    format!("audit/{}", service.name())
}
