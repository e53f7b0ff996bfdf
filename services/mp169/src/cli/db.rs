//! What can be asked of `mp169 db`.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, Subcommand};
use mesh_store::Location;

use super::connection::Output;
use super::server::ServerArgs;
use super::value::service;
use crate::service::Service;

const COPY: &str = "The service of the database must be stopped: a database that anybody else is connected to is refused, \
    as is a file that a service has open. So is one that is damaged, that is older than it was, or that another \
    version of this program has written; start the service with this version first.\n\n\
    All of it is copied: logs with their hashes, the histories of logs, cursors, kept answers, the secret of page \
    tokens, the service's own rows. Which tables there are is asked of the database. Then both ends are read \
    again: every table must have as many rows with the same SHA-256 at either end, and every log must be whole \
    and end with the same hash.\n\n\
    The other place must be empty: a file that is not there, or a database on a server that was just made, or that \
    `mp169 db migrate` has prepared. A database on a server is filled in one transaction, and a file appears when it \
    is finished, with its witness: a copy that was refused or cut off leaves nothing.\n\n\
    From then on there are two databases of one name. Start the service with one of them only, and put the other \
    away: whoever has followed one notices a service that goes on with the other as a log that went back.\n\n\
    A service keeps two databases, its own and that of its audit; copy both.\n\n\
    Exit codes: 0 copied; 9 one of the two is not as it must be, and nothing was changed; others as for every \
    command.\n\n\
    To a server, and back:\n  \
    mp169 db copy --from mp169-data/flag-registry.db --to postgres://mp169@db/flag-registry\n  \
    mp169 db copy --from postgres://mp169@db/flag-registry --to sqlite://mp169-data/flag-registry.db\n\n\
    Example:\n  \
    mp169 db copy --from backup/flag-registry.db --to elsewhere/flag-registry.db";

const MIGRATE: &str = "A service brings its schema up to date by itself when it starts, if its role may. Where it may not, \
    this does it first, as a role that owns the databases; the services then only check, and refuse a \
    schema that is not the one they know.\n\n\
    Databases that are missing are made with --create. --grant gives the services' role what it needs, and --roles \
    makes one for each service.\n\n\
    Examples:\n  \
    mp169 db migrate --create\n  \
    mp169 db migrate --create --roles secrets\n  \
    mp169 db migrate --service flag-registry --grant mesh";

/// `db`
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Copies all of a stopped service's database to where there is none, and checks both ends.
    #[command(after_help = COPY)]
    Copy(CopyArgs),
    /// Brings the schemas of the databases on a server up to date.
    #[command(after_help = MIGRATE)]
    Migrate(MigrateArgs),
}

/// `db copy`
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The database of a service that is stopped: a path, sqlite://PATH, or
    /// postgres://USER@HOST:PORT/DATABASE. The password is better given as PGPASSWORD.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str)]
    pub from: Location,
    /// Where it is to be, named in the same way.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str)]
    pub to: Location,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `db migrate`
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Only the databases of this service, its own and its audit's; give it once for each.
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Vec<Service>,
    /// Make databases that are missing.
    #[arg(long)]
    pub create: bool,
    /// Let this role read and write rows, and nothing else.
    #[arg(long, value_name = "ROLE")]
    pub grant: Option<String>,
    /// Give each service a role of its own name, with the prefix if there is one, which reads and writes rows of
    /// its own databases and reaches no others. FOLDER/NAME.password holds its password; a role that is there
    /// gets that one.
    #[arg(long, value_name = "FOLDER", conflicts_with = "grant")]
    pub roles: Option<PathBuf>,
}
