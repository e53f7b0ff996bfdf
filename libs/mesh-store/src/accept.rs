//! How does an operator accept that a log went back, or put a backup in place?
//!
//! Both begin a new history of every log: a new epoch, with sequences and the hash chain going on after
//! the last event that is there. Whoever saw what is lost starts over with a snapshot.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mesh_types::{Epoch, LogName, Sequence, Timestamp};
use sqlx::migrate::Migrator;

use crate::cursor::{self, Cursor};
use crate::database::Unfit;
use crate::dispute::{self, Dispute};
use crate::history::Seen;
use crate::log::{self, Head};
use crate::offline::OfflineFile;
use crate::open::LIBRARY;
use crate::sql::{Begin, Conn, Pool, query, query_scalar};
use crate::sqlite::{self, beside, lock, sync_folder};
use crate::verify::verify;
use crate::witness::file::{Beside, SUFFIX, WitnessFile, read};
use crate::witness::{Identity, Remembered};
use crate::{StoreError, seen, sequence_to_db};

/// Who has seen what the operator says.
const ASKED: &str = "whoever was asked";

/// An operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who decides.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What somebody is known to have seen of logs, beside what the database and its witness say of that.
    pub seen: Vec<Cursor>,
}

/// A history that somebody has seen more of than is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The history.
    pub epoch: Epoch,
    /// The last event of it that was seen.
    pub seen_up_to: Sequence,
    /// By whom: `the witness`, a follower, whoever disputes the log, or whom the operator has asked.
    pub by: String,
}

/// A new history of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHistory {
    /// The log.
    pub log: LogName,
    /// The history that ended.
    pub ended: Epoch,
    /// The one that begins.
    pub begun: Epoch,
    /// The last event that is there: what somebody saw beyond it, or instead of it, is lost.
    pub goes_on_after: Sequence,
    /// What is lost, as far as anybody is known to have seen it; empty if nothing is.
    pub lost: Vec<Lost>,
}

/// What an operator's decision came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// All logs of the database.
    pub logs: Vec<NewHistory>,
    /// Logs that the witness remembers and the database does not have: all of each is lost.
    pub gone: Vec<Cursor>,
    /// Followers that stood further than the database says.
    pub cursors: Vec<Cursor>,
    /// Where files are kept as they were before.
    pub kept: Vec<PathBuf>,
}

/// Accepts that what the database file at `path` does not have is lost, and begins a new history of each
/// of its logs. The service must be stopped: [`StoreError::InUse`]. A database that is missing or does
/// not fit itself is refused. All its files are first copied beside it as they are: SQLite plays a `-wal` in
/// when it opens the file, whether the two belong together or not.
pub async fn accept_loss(path: &Path, decision: &Decision) -> Result<Accepted, StoreError> {
    if !path.exists() {
        let path = path.to_owned();
        return Err(Unfit::Missing { path }.into());
    }
    let _lock = lock(path)?;
    let before = remembered(path)?;
    let mut kept = Vec::new();
    for suffix in ["", "-wal", SUFFIX] {
        let (from, to) = (beside(path, suffix), kept_as(path, suffix, decision));
        if from.exists() {
            std::fs::copy(from, &to)?;
            kept.push(to);
        }
    }
    let accepted = begin_anew(path, before.as_ref(), decision).await?;
    Ok(Accepted { kept, ..accepted })
}

/// Puts the backup file at `backup` in place of the database file at `path`, and begins a new history of
/// each of its logs. The service must be stopped. What stands at `path` is refused
/// ([`Unfit::Occupied`]) unless `replace` is given; then it is kept beside it under another name.
pub async fn restore(
    backup: &Path,
    path: &Path,
    replace: bool,
    decision: &Decision,
) -> Result<Accepted, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let _lock = lock(path)?;
    if path.exists() && !replace {
        let path = path.to_owned();
        return Err(Unfit::Occupied { path }.into());
    }
    let (accepted, moves) = prepare(backup, path, decision).await?;
    for one in &moves {
        one.make()?;
    }
    sync_folder(path)?;
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
    OfflineFile::open(backup).await?;
    crate::backup(backup, &new).await?;
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
        kept.push(to.clone());
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

fn remembered(path: &Path) -> Result<Option<Remembered>, StoreError> {
    Ok(match read(path)? {
        Beside::Witness(remembered) => Some(*remembered),
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

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Begins new histories in the file at `path`, and writes its witness. `before` is what is remembered of
/// the database that was here.
async fn begin_anew(
    path: &Path,
    before: Option<&Remembered>,
    decision: &Decision,
) -> Result<Accepted, StoreError> {
    let opened = sqlite::open(path).await?;
    let begun = begun(&opened.writer, &opened.readers, path, before, decision).await;
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
    readers: &Pool,
    path: &Path,
    before: Option<&Remembered>,
    decision: &Decision,
) -> Result<(Accepted, Remembered), StoreError> {
    let mut conn = writer.acquire().await?;
    whole(&mut conn, path).await?;
    let mut library = Migrator::with_migrations(LIBRARY.iter().cloned().collect());
    // Those of the service are there, too.
    library.set_ignore_missing(true);
    conn.migrate(&library).await?;
    drop(conn);
    let mut read = readers.acquire().await?;
    let heads = log::heads(&mut read, "").await?;
    drop(read);
    for head in &heads {
        if let Err(misfit) = verify(readers, &head.position.log).await? {
            let what = format!("the log {}: {misfit}", head.position.log);
            return Err(damaged(path, what));
        }
    }
    let mut tx = writer.begin(Begin::Write).await?;
    let written = write(&mut tx, heads, before, decision).await?;
    tx.commit().await?;
    Ok(written)
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

async fn write(
    conn: &mut Conn,
    heads: Vec<Head>,
    before: Option<&Remembered>,
    decision: &Decision,
) -> Result<(Accepted, Remembered), StoreError> {
    let mut accepted = Accepted::default();
    let mut remembered = Remembered {
        identity: rand::random::<Identity>(),
        pulse: 1 + before.map_or(0, |before| before.pulse),
        wal: None,
        logs: BTreeMap::new(),
        cursors: cursor::all(conn).await?,
        claims: Vec::new(),
    };
    let mut claims = dispute::all(conn).await?;
    for seen in &decision.seen {
        if seen::judge(conn, seen).await? == Seen::WentBack {
            claims.push(Dispute {
                seen: seen.clone(),
                by: ASKED.to_owned(),
                since: decision.at,
            });
        }
    }
    for head in &heads {
        let begun = log::random_epoch();
        let lost = lost(head, before, &claims);
        for Lost {
            epoch, seen_up_to, ..
        } in &lost
        {
            end(
                conn,
                &head.position.at(*seen_up_to),
                *epoch,
                head,
                begun,
                decision,
            )
            .await?;
        }
        let (ended, last) = (head.position.epoch, head.position.sequence);
        end(conn, &head.position, ended, head, begun, decision).await?;
        query("UPDATE log_head SET epoch = $2 WHERE log = $1")
            .bind(head.position.log.as_str())
            .bind(sequence_to_db(begun.get()))
            .execute(&mut *conn)
            .await?;
        dispute::forget(conn, &head.position.log).await?;
        let mut seen = Cursor::from(head);
        seen.position.epoch = begun;
        let log = head.position.log.clone();
        remembered.logs.insert(log.clone(), seen);
        accepted.logs.push(NewHistory {
            log,
            ended,
            begun,
            goes_on_after: last,
            lost,
        });
    }
    if let Some(before) = before {
        let has = |log: &LogName| heads.iter().any(|head| head.position.log == *log);
        let gone = before.logs.values().filter(|seen| !has(&seen.position.log));
        accepted.gone = gone.cloned().collect();
        accepted.cursors = further(before, &remembered.cursors);
    }
    name(conn, &remembered).await?;
    Ok((accepted, remembered))
}

/// What of the log at `head` the witness, followers and whoever disputes it have seen that is not there, by
/// history.
fn lost(head: &Head, before: Option<&Remembered>, disputes: &[Dispute]) -> Vec<Lost> {
    let witness = before.and_then(|before| before.logs.get(&head.position.log));
    let witness = witness.map(|seen| (seen, "the witness"));
    let claims = before.into_iter().flat_map(|before| &before.claims);
    let claims = claims.map(|claim| (&claim.seen, claim.by.as_str()));
    let disputes = disputes.iter();
    let claims = claims.chain(disputes.map(|dispute| (&dispute.seen, dispute.by.as_str())));
    let mine = |(seen, _): &(&Cursor, _)| seen.position.log == head.position.log;
    let missed = |(seen, _): &(&Cursor, _)| {
        let (seen, at) = (&seen.position, &head.position);
        // The same event with another hash is one that was replaced.
        !seen.comparable(at) || seen.sequence > at.sequence
    };
    let by_witness = witness.into_iter().filter(missed);
    let all = by_witness.chain(claims.filter(mine));
    all.map(|(seen, by)| Lost {
        epoch: seen.position.epoch,
        seen_up_to: seen.position.sequence,
        by: by.to_owned(),
    })
    .collect()
}

/// Notes that `epoch`, which was seen up to `seen`, is over.
async fn end(
    conn: &mut Conn,
    seen: &mesh_types::Position,
    epoch: Epoch,
    head: &Head,
    begun: Epoch,
    decision: &Decision,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO log_history \
         (log, epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (log, epoch) DO UPDATE \
         SET seen_up_to = max(log_history.seen_up_to, excluded.seen_up_to)",
    )
    .bind(seen.log.as_str())
    .bind(sequence_to_db(epoch.get()))
    .bind(sequence_to_db(head.position.sequence))
    .bind(sequence_to_db(seen.sequence))
    .bind(sequence_to_db(begun.get()))
    .bind(decision.at.micros())
    .bind(&decision.by)
    .bind(&decision.reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// Followers that stood further in the same history.
fn further(before: &Remembered, now: &BTreeMap<String, Cursor>) -> Vec<Cursor> {
    let further = |(follower, seen): &(&String, &Cursor)| {
        now.get(*follower).is_none_or(|now| {
            now.position.comparable(&seen.position)
                && now.position.sequence < seen.position.sequence
        })
    };
    let all = before.cursors.iter().filter(further);
    all.map(|(_, seen)| seen.clone()).collect()
}

/// It is another database from now on: a copy of what it was is not taken for it.
async fn name(conn: &mut Conn, remembered: &Remembered) -> Result<(), StoreError> {
    query(
        "INSERT INTO database_identity (id, identity, pulse) VALUES (1, $1, $2) \
         ON CONFLICT (id) DO UPDATE SET identity = excluded.identity, \
         pulse = max(database_identity.pulse, excluded.pulse)",
    )
    .bind(remembered.identity.as_slice())
    .bind(remembered.pulse)
    .execute(conn)
    .await?;
    Ok(())
}
