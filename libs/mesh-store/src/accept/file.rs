//! What is done with files when an operator accepts a loss, or puts a backup in place?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use tempfile::TempDir;

use super::{Accepted, Before, Decision, Resolve};
use crate::StoreError;
use crate::database::Unfit;
use crate::offline::Offline;
use crate::schema::LIBRARY;
use crate::sql::{Begin, Conn, Pool, query_scalar};
use crate::sqlite::{self, beside, lock, remove, sync_folder};
use crate::witness::Remembered;
use crate::witness::file::{Beside, SUFFIX, WitnessFile, read};

/// Who remembers a file.
const WITNESS: &str = "the witness";

/// Accepts what the file at `path` has lost.
pub(super) async fn accept_loss(
    path: &Path,
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    if !path.exists() {
        let path = path.to_owned();
        return Err(Unfit::Missing { path }.into());
    }
    if resolve == Resolve::Try {
        // Refuses one that a service has open.
        drop(Offline::open(path).await?);
        let (_folder, copy) = rehearsal(path)?;
        return accept(&copy, decision).await;
    }
    accept(path, decision).await
}

async fn accept(path: &Path, decision: &Decision) -> Result<Accepted, StoreError> {
    let _lock = lock(path)?;
    let before = remembered(path)?;
    let mut kept = Vec::new();
    for suffix in ["", "-wal", SUFFIX] {
        let (from, to) = (beside(path, suffix), kept_as(path, suffix, decision));
        if from.exists() {
            std::fs::copy(from, &to)?;
            kept.push(to.display().to_string());
        }
    }
    let accepted = begin_anew(path, before.as_ref(), decision).await?;
    Ok(Accepted { kept, ..accepted })
}

/// A copy of a database, if it is there, and of what lies beside it: a decision is tried out on it.
fn rehearsal(path: &Path) -> Result<(TempDir, PathBuf), StoreError> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join(path.file_name().unwrap_or_default());
    for suffix in ["", "-wal", SUFFIX] {
        let from = beside(path, suffix);
        if from.exists() {
            std::fs::copy(from, beside(&copy, suffix))?;
        }
    }
    Ok((folder, copy))
}

/// Puts the backup in place of the file at `path`.
pub(super) async fn restore(
    backup: &Path,
    path: &Path,
    replace: bool,
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    let (_folder, path) = match resolve {
        Resolve::CarryOut => (None, path.to_owned()),
        Resolve::Try => {
            let (folder, copy) = rehearsal(path)?;
            (Some(folder), copy)
        }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let _lock = lock(&path)?;
    if path.exists() && !replace {
        return Err(Unfit::Occupied { path }.into());
    }
    let (accepted, moves) = prepare(backup, &path, decision).await?;
    for one in &moves {
        one.make()?;
    }
    sync_folder(&path)?;
    Ok(accepted)
}

/// Makes the new database beside the one at `path`, whose files are as they were, and says what puts it
/// in place. Whoever is killed in the middle of that starts over.
pub(crate) async fn prepare(
    backup: &Path,
    path: &Path,
    decision: &Decision,
) -> Result<(Accepted, Vec<Move>), StoreError> {
    let new = beside(path, ".restoring");
    for suffix in ["", "-wal", "-shm", SUFFIX] {
        remove(&beside(&new, suffix))?;
    }
    // Refuses a backup that is damaged, and has its -wal in it.
    Offline::open(backup).await?;
    crate::backup(backup, &new, &[]).await?;
    let before = remembered(path)?;
    let accepted = begin_anew(&new, before.as_ref(), decision).await?;
    let there = |suffix: &&str| beside(path, suffix).exists();
    let there: Vec<_> = [SUFFIX, "", "-wal"].into_iter().filter(there).collect();
    let (mut moves, mut kept) = (Vec::new(), Vec::new());
    for suffix in &there {
        let to = match *suffix {
            "-wal" => moved_away(path)?.map(|database| beside(&database, "-wal")),
            _ => None,
        };
        let to = to.unwrap_or_else(|| kept_as(path, suffix, decision));
        let from = beside(path, suffix);
        kept.push(to.display().to_string());
        // The witness stays until the last moment: until then it says that there was a database here.
        moves.push(match *suffix {
            SUFFIX => Move::Copy(from, to),
            _ => Move::Rename(from, to),
        });
    }
    moves.push(Move::Remove(beside(path, "-shm")));
    moves.push(Move::Rename(new.clone(), path.to_owned()));
    moves.push(Move::Rename(beside(&new, SUFFIX), beside(path, SUFFIX)));
    Ok((Accepted { kept, ..accepted }, moves))
}

/// What is done with a file.
#[derive(Debug)]
pub(crate) enum Move {
    Copy(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Move {
    pub(crate) fn make(&self) -> std::io::Result<()> {
        match self {
            Self::Copy(from, to) => std::fs::copy(from, to).map(drop),
            Self::Rename(from, to) => std::fs::rename(from, to),
            Self::Remove(path) => remove(path),
        }
    }
}

fn remembered(path: &Path) -> Result<Option<Before>, StoreError> {
    Ok(match read(path)? {
        Beside::Witness(remembered) => Some(Before {
            remembered: *remembered,
            by: WITNESS,
        }),
        Beside::Nothing | Beside::Damaged => None,
    })
}

/// The name under which a file beside `path` is kept: with the time of the decision.
fn kept_as(path: &Path, suffix: &str, decision: &Decision) -> PathBuf {
    beside(path, &format!(".before-{}{suffix}", decision.at.micros()))
}

/// The database that an attempt which was cut off has moved away without its -wal.
fn moved_away(path: &Path) -> std::io::Result<Option<PathBuf>> {
    if path.exists() {
        return Ok(None);
    }
    let stem = beside(path, ".before-");
    let mut newest = None;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let name = entry?.file_name();
        let at = name.to_str().zip(stem.file_name().and_then(OsStr::to_str));
        let at = at.and_then(|(name, stem)| name.strip_prefix(stem)?.parse::<i64>().ok());
        newest = newest.max(at);
    }
    let database = newest.map(|at| beside(path, &format!(".before-{at}")));
    Ok(database.filter(|database| !beside(database, "-wal").exists()))
}

/// Begins new histories in the file at `path`, and writes its witness. `before` is what is remembered of
/// the database that was here.
pub(super) async fn begin_anew(
    path: &Path,
    before: Option<&Before>,
    decision: &Decision,
) -> Result<Accepted, StoreError> {
    let opened = sqlite::open(path).await?;
    let begun = begun(&opened.writer, path, before, decision).await;
    opened.anchor.close().await?;
    opened.readers.close().await;
    opened.writer.close().await;
    let (accepted, remembered) = begun?;
    remove(&beside(path, SUFFIX))?;
    WitnessFile::open(path, &remembered)?.turn().sync_all()?;
    Ok(accepted)
}

async fn begun(
    writer: &Pool,
    path: &Path,
    before: Option<&Before>,
    decision: &Decision,
) -> Result<(Accepted, Remembered), StoreError> {
    let mut conn = writer.acquire().await?;
    whole(&mut conn, path).await?;
    let mut library = Migrator::with_migrations(LIBRARY.iter().cloned().collect());
    // Those of the service are there, too.
    library.set_ignore_missing(true);
    conn.migrate(&library).await?;
    drop(conn);
    let mut tx = writer.begin(Begin::Write).await?;
    let begun = super::begin_anew(&mut tx, before, decision, |what| damaged(path, what)).await?;
    tx.commit().await?;
    Ok(begun)
}

async fn whole(conn: &mut Conn, path: &Path) -> Result<(), StoreError> {
    let found: String = query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(conn)
        .await?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(damaged(path, found)),
    }
}

fn damaged(path: &Path, what: String) -> StoreError {
    let path = path.to_owned();
    Unfit::Damaged { path, what }.into()
}
