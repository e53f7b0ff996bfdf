//! What can be asked of `mp169 restore`.

use std::path::PathBuf;

use clap::Args;

use super::connection::Output;

pub(super) const RESTORE: &str = "The mesh must be stopped. Each file is checked against manifest.json first. A database that is \
    still there is left alone unless --replace is given; it is then kept beside the new one, as its \
    witness is, under a name that ends in .before- and the time.\n\n\
    Every log of a database that is put in place begins a new history, with a new epoch. What was recorded \
    after the backup is lost; how much that is, is said as far as the witness beside the lost database \
    remembers it. When the services start again, followers make everything anew from snapshots, and a \
    CSP is told the differences as events of its own log. Of a backup that was made with --keys the keys are \
    put back where there are none.\n\n\
    Without --yes nothing is changed: what would be lost is shown, and the exit code is 4, or 0 with \
    --dry-run.\n\n\
    Examples:\n  \
    mp169 restore --from backup --home another --reason 'disk lost, ticket 117' --dry-run\n  \
    mp169 restore --from backup-with-keys --home another --reason 'disk lost, ticket 117' --yes";

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `mp169 backup` filled.
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// Put this file of it in place only, such as flag-registry.db; give it once for each.
    #[arg(long, value_name = "NAME")]
    pub database: Vec<String>,
    /// The folder of the mesh.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Put a copy in place of a database that is there, too.
    #[arg(long)]
    pub replace: bool,
    /// Why: kept in each database. No personal data.
    #[arg(long)]
    pub reason: String,
    /// Whether to do it.
    #[command(flatten)]
    pub consent: Consent,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// For a change that cannot be taken back.
#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Do it.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Only show what would come of it.
    #[arg(long)]
    pub dry_run: bool,
}
