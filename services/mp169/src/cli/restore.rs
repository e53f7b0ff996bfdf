//! What can be asked of `mp169 restore`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use mesh_store::cursor::Cursor;
use mesh_store::{Location, StoreError};
use mesh_types::Position;

use super::connection::Output;
use super::csp::Place;

pub(super) const RESTORE: &str = "The mesh must be stopped. Each file is checked against manifest.json first. A database that is \
    still there is left alone unless --replace is given; it is then kept beside the new one, as its \
    witness is, under a name that ends in .before- and the time.\n\n\
    Every log of a database that is put in place begins a new history, with a new epoch. What was recorded \
    after the backup is lost; how much that is, is said as far as the witness beside the lost database \
    remembers it. When the services start again, followers make everything anew from snapshots, and a \
    CSP is told the differences as events of its own log. Of a backup that was made with --keys the keys are \
    put back where there are none.\n\n\
    With --into a file goes to a database on a server: one that is empty, or that is not there yet and is made. With \
    --replace it also takes the place of one that is there, to which nobody may be connected; that one is renamed, \
    to its name with _before_ and the time. Making and renaming databases needs the right to (CREATEDB). What is lost is \
    said as far as the database remembers it that is replaced. On a server:\n  \
    mp169 restore --from backup --into reporting.db=postgres://mp169@db/reporting --replace --reason 'ticket 117'\n\n\
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
    /// Put this file of it into a database on a server instead, and no others that are not named:
    /// flag-registry.db=postgres://USER@HOST:PORT/DATABASE. Give it once for each.
    #[arg(long, value_name = "NAME=URL", conflicts_with = "database")]
    pub into: Vec<Destination>,
    /// The folder of the mesh.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Put a copy in place of a database that is there, too.
    #[arg(long)]
    pub replace: bool,
    /// What somebody has seen of a log, for when the witness is lost, too: it is shown with what is lost.
    /// The log, =, and the event as `mp169 csp watch` says it at its end, such as csp/north=7@EPOCH:HASH.
    /// Give it once for each.
    #[arg(long, value_name = "LOG=EVENT", value_parser = seen)]
    pub seen: Vec<Cursor>,
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

/// Where a file of a backup goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The file's name.
    pub file: String,
    /// The database.
    pub at: Location,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, at) = text.split_once('=').ok_or("it is NAME=URL")?;
        Ok(Self {
            file: file.to_owned(),
            at: at.parse().map_err(|error: StoreError| error.to_string())?,
        })
    }
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

/// Reads what somebody has seen of a log.
fn seen(text: &str) -> Result<Cursor, String> {
    let wrong = || "what was seen is LOG=SEQUENCE@EPOCH:HASH".to_owned();
    let (log, event) = text.split_once('=').ok_or_else(wrong)?;
    let place: Place = event.parse().map_err(|_| wrong())?;
    let (epoch, hash) = place.seen.ok_or_else(wrong)?;
    let position = Position {
        log: log.parse().map_err(|_| wrong())?,
        epoch,
        sequence: place.sequence,
    };
    Ok(Cursor { position, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_as_a_csp_says_it() {
        let hash = "07".repeat(32);
        let cursor = seen(&format!("csp/north=7@9:{hash}")).unwrap();
        assert_eq!(cursor.position.log.as_str(), "csp/north");
        assert_eq!(cursor.position.epoch.get(), 9);
        assert_eq!((cursor.position.sequence, cursor.hash), (7, [7; 32]));
        let without = [
            format!("7@9:{hash}"),
            "flags=7".to_owned(),
            "flags=".to_owned(),
        ];
        assert!(without.iter().all(|text| seen(text).is_err()));
    }
}
