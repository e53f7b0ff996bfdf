//! How does an operator accept that a log went back, or put a backup in place?
//!
//! Both begin a new history of every log: a new epoch, with sequences and the hash chain going on after
//! the last event that is there. Whoever saw what is lost starts over with a snapshot. Here is what an
//! operator decides and what of it stands in the database; what is done with files is in `file.rs`, with
//! databases on a server in `server.rs`.

mod file;
mod server;

use std::collections::BTreeMap;
use std::path::Path;

use mesh_types::{Epoch, LogName, Sequence, Timestamp};
use sqlx::migrate::Migrator;

use crate::cursor::{self, Cursor};
use crate::dispute;
use crate::history::Seen;
use crate::location::{Location, Place};
use crate::log::{self, Head};
use crate::sql::{Conn, query};
use crate::verify::verify_still;
use crate::witness::{Claim, Identity, Remembered};
use crate::{StoreError, claim, seen, sequence_to_db};

#[cfg(test)]
pub(crate) use file::prepare;

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
    /// By whom: `the witness`, a follower, whoever disputes the log, whom the operator has asked, or the
    /// database that was replaced.
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
    /// Where what was there is kept as it was before: files, or a database on the same server.
    pub kept: Vec<String>,
}

/// Whether a decision is carried out, or only tried, to see what would come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// For good.
    CarryOut,
    /// Nothing is changed.
    Try,
}

/// What is known of the database that was here before, and by whom.
#[derive(Debug)]
struct Before {
    remembered: Remembered,
    by: &'static str,
}

/// Accepts that what the database at `at` does not have is lost, and begins a new history of each
/// of its logs. The service must be stopped: [`StoreError::InUse`], or [`Unfit::Server`]. A database that is
/// missing or does not fit itself is refused. All files of one are first copied beside it as they are: SQLite
/// plays a `-wal` in when it opens the file, whether the two belong together or not. On a server nothing is
/// taken away by it, and nothing is copied.
///
/// [`Unfit::Server`]: crate::Unfit::Server
pub async fn accept_loss(
    at: impl Into<Location>,
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    match at.into().0 {
        Place::File(path) => file::accept_loss(&path, decision, resolve).await,
        Place::Server(server) => server::accept_loss(&server, decision, resolve).await,
    }
}

/// Puts the backup file at `backup` in place of the database at `at`, and begins a new history of
/// each of its logs. The service must be stopped. What stands at `at` is refused ([`Unfit::Occupied`]) unless
/// `replace` is given; then it is kept beside it under another name. `schemas` are the migrations of services:
/// one of them must have made what goes to a server.
///
/// [`Unfit::Occupied`]: crate::Unfit::Occupied
pub async fn restore(
    backup: &Path,
    at: impl Into<Location>,
    replace: bool,
    schemas: &[&Migrator],
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    match at.into().0 {
        Place::File(path) => file::restore(backup, &path, replace, decision, resolve).await,
        Place::Server(server) => {
            server::restore(backup, &server, replace, schemas, decision, resolve).await
        }
    }
}

/// Begins a new history of every log of the database that `conn` writes to. What it finds to contradict itself
/// is said by `damaged`.
async fn begin_anew(
    conn: &mut Conn,
    before: Option<&Before>,
    decision: &Decision,
    damaged: impl Fn(String) -> StoreError,
) -> Result<(Accepted, Remembered), StoreError> {
    let heads = log::heads(conn, "").await?;
    for head in &heads {
        let log = &head.position.log;
        if let Err(misfit) = verify_still(conn, log).await? {
            return Err(damaged(format!("the log {log}: {misfit}")));
        }
    }
    write(conn, heads, before, decision).await
}

async fn write(
    conn: &mut Conn,
    heads: Vec<Head>,
    before: Option<&Before>,
    decision: &Decision,
) -> Result<(Accepted, Remembered), StoreError> {
    let was = before.map(|before| &before.remembered);
    let mut accepted = Accepted::default();
    let mut remembered = Remembered {
        identity: rand::random::<Identity>(),
        pulse: 1 + was.map_or(0, |before| before.pulse),
        wal: None,
        logs: BTreeMap::new(),
        cursors: cursor::all(conn).await?,
        claims: Vec::new(),
    };
    let claims = claims(conn, was, decision).await?;
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
    claim::forget_all(conn).await?;
    if let Some(before) = was {
        let has = |log: &LogName| heads.iter().any(|head| head.position.log == *log);
        let gone = before.logs.values().filter(|seen| !has(&seen.position.log));
        accepted.gone = gone.cloned().collect();
        accepted.cursors = further(before, &remembered.cursors);
    }
    name(conn, &remembered).await?;
    Ok((accepted, remembered))
}

/// What followers, whoever disputes a log, and whom the operator has asked have seen that is not there.
async fn claims(
    conn: &mut Conn,
    before: Option<&Remembered>,
    decision: &Decision,
) -> Result<Vec<Claim>, StoreError> {
    let mut claims: Vec<_> = before
        .into_iter()
        .flat_map(|it| it.claims.clone())
        .collect();
    let kept = claim::all(conn).await?;
    claims.extend(claim::standing(conn, kept).await?);
    let disputes = dispute::all(conn).await?.into_iter();
    claims.extend(disputes.map(|dispute| Claim {
        seen: dispute.seen,
        by: dispute.by,
    }));
    for seen in &decision.seen {
        if seen::judge(conn, seen).await? == Seen::WentBack {
            claims.push(Claim {
                seen: seen.clone(),
                by: ASKED.to_owned(),
            });
        }
    }
    Ok(claims)
}

/// What of the log at `head` anybody has seen that is not there, by history.
fn lost(head: &Head, before: Option<&Before>, claims: &[Claim]) -> Vec<Lost> {
    let log = &head.position.log;
    let known = before.and_then(|before| Some((before.remembered.logs.get(log)?, before.by)));
    let missed = |(seen, _): &(&Cursor, _)| {
        let (seen, at) = (&seen.position, &head.position);
        // The same event with another hash is one that was replaced.
        !seen.comparable(at) || seen.sequence > at.sequence
    };
    let claims = claims.iter().map(|claim| (&claim.seen, claim.by.as_str()));
    let mine = claims.filter(|(seen, _)| seen.position.log == *log);
    let all = known.into_iter().filter(missed).chain(mine);
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
         SET seen_up_to = CASE WHEN log_history.seen_up_to > excluded.seen_up_to \
         THEN log_history.seen_up_to ELSE excluded.seen_up_to END",
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
         pulse = CASE WHEN database_identity.pulse > excluded.pulse \
         THEN database_identity.pulse ELSE excluded.pulse END",
    )
    .bind(remembered.identity.as_slice())
    .bind(remembered.pulse)
    .execute(conn)
    .await?;
    Ok(())
}
