//! What can be asked of `mp169 backup`.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Args;
use mesh_store::Location;

use super::connection::Output;

pub(super) const BACKUP: &str = "Each copy is one committed state of its database, in one file, and on the disk when the command ends. \
    Followers are copied before the services that they follow: csp-notification and reporting before \
    flag-registry, and that before registration. So no copy has seen more of a log than the copy of the \
    log's owner holds, and all of them put back together fit.\n\n\
    A database on a server is copied into a file of the same kind, from one committed state, while its services \
    go on; the file has the service's name. It can be put back into a file, or on a server. On a server:\n  \
    mp169 backup --to backup --database postgres://mp169@db/registration --database postgres://mp169@db/reporting\n  \
    mp169 backup --to backup --database-file server.url\n\n\
    manifest.json is written last: a folder without it is no backup. It names each file with its SHA-256 \
    and, of each log, epoch, last event, that event's hash and its time. Each copy was checked as by \
    `mp169 log verify --database`, which checks it again later.\n\n\
    Not copied unless --keys is given: authority/, certificates/, and denied.toml. They hold the \
    private keys of the mesh, are secrets, and change seldom; keep them elsewhere and under lock. Without \
    authority/ no certificate can be issued again, without certificates/ no service starts, and \
    without denied.toml certificates that were revoked would be accepted again. classification keeps \
    nothing.\n\n\
    Exit codes: 0 everything was copied and is whole; 7 a copy is not whole, and there is no \
    manifest.json; others as for every command.\n\n\
    Examples:\n  \
    mp169 backup --to backup\n  \
    mp169 backup --to backup-with-keys --keys\n  \
    mp169 backup --to backup-of-one --database mp169-data/reporting.db";

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The folder to fill: one that is empty, or is not there yet.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Copy this database only: a file, or postgres://USER@HOST:PORT/DATABASE. Give it once for each. Those on a
    /// server are copied in the right order, followers first.
    #[arg(long, value_name = "FILE|URL", value_parser = Location::from_str, conflicts_with = "keys")]
    pub database: Vec<Location>,
    /// A file that holds the URL of the server that all databases of the mesh are on, as a role that may read them:
    /// one line, postgres://USER@HOST:PORT, or with /PREFIX as `mp169 up` was given it. All are copied.
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    pub database_file: Option<PathBuf>,
    /// Copy the authority, the certificates with their keys, and what is denied, too.
    #[arg(long)]
    pub keys: bool,
    /// The folder of the mesh.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}
