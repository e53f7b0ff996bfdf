//! What does somebody from outside say to have seen of a log, that the log lacks?
//!
//! Whoever is believed stops all writing ([`Store::went_back`](crate::Store::went_back)). Of anybody
//! else it is only kept, for the log that it is about, until the log has what was seen, the same one
//! takes it back, or an operator accepts the loss. What follows from it meanwhile is the service's to
//! decide.

use mesh_types::{LogName, Timestamp};

use crate::cursor::{self, Cursor};
use crate::history::Seen;
use crate::seen::judge;
use crate::sql::{Conn, query, query_as};
use crate::{StoreError, WriteTx, sequence_to_db};

const TABLE: &str = "log_dispute";

/// That a log lacks what somebody has seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The last event that was seen.
    pub seen: Cursor,
    /// Who says so.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// What has come of somebody's word about a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The log has it, and nothing was disputed.
    Fits,
    /// The log lacks it: that is kept from now on.
    Disputes,
    /// It had been kept already.
    Repeats,
    /// The log has it, so that what was disputed before is taken back.
    TakesBack,
}

type Row = (String, i64, i64, Vec<u8>, String, i64);

/// What is disputed of `log`, judged anew by what `conn` reads; `None` if nothing is.
pub async fn of(conn: &mut Conn, log: &LogName) -> Result<Option<Dispute>, StoreError> {
    let Some(kept) = kept(conn, log).await? else {
        return Ok(None);
    };
    let lacks = judge(conn, &kept.seen).await? == Seen::WentBack;
    Ok(lacks.then_some(kept))
}

/// What is disputed of any log, each judged anew, in the order of the logs' names.
pub async fn all(conn: &mut Conn) -> Result<Vec<Dispute>, StoreError> {
    let rows: Vec<Row> = query_as(
        "SELECT log, epoch, sequence, hash, said_by, since_time FROM log_dispute ORDER BY log",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut disputes = Vec::new();
    for row in rows {
        let kept = from_db(row)?;
        if judge(conn, &kept.seen).await? == Seen::WentBack {
            disputes.push(kept);
        }
    }
    Ok(disputes)
}

/// Whether `seen`, which `by` says, would change what is kept of its log.
pub async fn is_news(conn: &mut Conn, seen: &Cursor, by: &str) -> Result<bool, StoreError> {
    let word = word(conn, seen, by).await?;
    Ok(matches!(word, Word::Disputes | Word::TakesBack))
}

/// Keeps what `by` has seen and its log lacks, or forgets what was kept if the log has it. The log is
/// locked.
pub async fn hear(tx: &mut WriteTx, seen: &Cursor, by: &str) -> Result<Word, StoreError> {
    let now = tx.now();
    let word = word(tx.conn(), seen, by).await?;
    match word {
        Word::Fits | Word::Repeats => {}
        Word::Disputes => put(tx.conn(), seen, by, now).await?,
        Word::TakesBack => forget(tx.conn(), &seen.position.log).await?,
    }
    Ok(word)
}

async fn word(conn: &mut Conn, seen: &Cursor, by: &str) -> Result<Word, StoreError> {
    let kept = kept(conn, &seen.position.log).await?;
    Ok(match (judge(conn, seen).await?, kept) {
        (Seen::WentBack, Some(kept)) if kept.by == by && covers(&kept.seen, seen) => Word::Repeats,
        (Seen::WentBack, _) => Word::Disputes,
        (Seen::Fits | Seen::Accepted, Some(_)) => Word::TakesBack,
        (Seen::Fits | Seen::Accepted, None) => Word::Fits,
    })
}

/// Whether what is kept says as much: an operator has to know all that was seen.
fn covers(kept: &Cursor, seen: &Cursor) -> bool {
    let (of_kept, of_seen) = (&kept.position, &seen.position);
    kept == seen || (of_kept.epoch == of_seen.epoch && of_kept.sequence > of_seen.sequence)
}

async fn kept(conn: &mut Conn, log: &LogName) -> Result<Option<Dispute>, StoreError> {
    let row: Option<Row> = query_as(
        "SELECT log, epoch, sequence, hash, said_by, since_time FROM log_dispute WHERE log = $1",
    )
    .bind(log.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(from_db).transpose()
}

/// Since when stays said while it lasts, whatever is disputed.
async fn put(conn: &mut Conn, seen: &Cursor, by: &str, now: Timestamp) -> Result<(), StoreError> {
    let position = &seen.position;
    query(
        "INSERT INTO log_dispute (log, epoch, sequence, hash, said_by, since_time) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (log) DO UPDATE SET epoch = excluded.epoch, \
         sequence = excluded.sequence, hash = excluded.hash, said_by = excluded.said_by",
    )
    .bind(position.log.as_str())
    .bind(sequence_to_db(position.epoch.get()))
    .bind(sequence_to_db(position.sequence))
    .bind(seen.hash.as_slice())
    .bind(by)
    .bind(now.micros())
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what is disputed of `log`.
pub(crate) async fn forget(conn: &mut Conn, log: &LogName) -> Result<(), StoreError> {
    query("DELETE FROM log_dispute WHERE log = $1")
        .bind(log.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn from_db((log, epoch, sequence, hash, by, since): Row) -> Result<Dispute, StoreError> {
    Ok(Dispute {
        seen: cursor::from_db(TABLE, (log, epoch, sequence, hash))?,
        by,
        since: Timestamp::from_micros(since),
    })
}
