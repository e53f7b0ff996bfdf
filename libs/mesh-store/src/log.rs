//! What stands in a log, and where does it end?
//!
//! Logs are written through [`WriteTx`](crate::WriteTx) only. The functions here read; each takes
//! one statement, so each sees one committed state, and none holds a connection while its caller
//! works.

use futures::TryStreamExt as _;
use mesh_types::chain::{self, Hash};
use mesh_types::{Epoch, LogName, Position, Sequence, Timestamp};

use crate::sql::{Conn, QueryBuilder, Question, Row, ask, query, query_as, query_scalar};
use crate::{StoreError, sequence_from_db, sequence_to_db};

pub(crate) const HEADS: &str = "log_head";
pub(crate) const EVENTS: &str = "log_event";

const HEAD_OF_LOG: &str =
    "SELECT epoch, sequence, hash, recorded_time, first_epoch FROM log_head WHERE log = ";

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last event; sequence zero before the first.
    pub position: Position,
    /// The chain's hash after it.
    pub hash: Hash,
    /// When it was recorded; of an empty log, the earliest of all instants.
    pub recorded_time: Timestamp,
    /// The epoch in which the log began, with which its hash chain begins.
    pub first_epoch: Epoch,
}

/// One event as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the log.
    pub sequence: Sequence,
    /// When it was recorded.
    pub recorded_time: Timestamp,
    /// The chain's hash before it.
    pub previous_hash: Hash,
    /// The chain's hash after it.
    pub hash: Hash,
    /// The very octets that were hashed.
    pub event: Vec<u8>,
}

/// How much one read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// At most so many events.
    pub events: u32,
    /// No further event once the events before it hold so many octets; the first always comes.
    pub octets: usize,
}

impl Default for PageLimit {
    /// What one `LogEntries` frame of the contracts holds: 256 events or 512 KiB.
    fn default() -> Self {
        Self {
            events: 256,
            octets: 512 << 10,
        }
    }
}

/// A random epoch for a log that is about to be made.
#[must_use]
pub fn random_epoch() -> Epoch {
    loop {
        if let Some(epoch) = Epoch::new(rand::random::<u64>() >> 1) {
            return epoch;
        }
    }
}

/// The end of `log`; `None` if there is no such log.
pub async fn head(conn: &mut Conn, log: &LogName) -> Result<Option<Head>, StoreError> {
    ask(conn, head_question(log)).await
}

/// The same as a question that can be asked together with others.
pub fn head_question(log: &LogName) -> Question<Option<Head>> {
    head_of(log, "")
}

fn head_of(log: &LogName, after: &'static str) -> Question<Option<Head>> {
    let mut query = QueryBuilder::new(HEAD_OF_LOG);
    query.push_bind(log.as_str()).push(after);
    let log = log.clone();
    Question::new([query], move |rows| {
        let row = rows.first().map(Row::read).transpose()?;
        row.map(|row| head_from_db(&log, row)).transpose()
    })
}

/// The ends of all logs whose names begin with `prefix`, in the order of their names.
pub async fn heads(conn: &mut Conn, prefix: &str) -> Result<Vec<Head>, StoreError> {
    let rows: Vec<(String, i64, i64, Vec<u8>, i64, i64)> = query_as(
        "SELECT log, epoch, sequence, hash, recorded_time, first_epoch FROM log_head \
         WHERE substr(log, 1, $2) = $1 ORDER BY log",
    )
    .bind(prefix)
    // A name is ASCII, so that its characters are its octets.
    .bind(i32::try_from(prefix.len()).unwrap_or(i32::MAX))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(log, epoch, sequence, hash, recorded_time, first_epoch)| {
            let log = log
                .parse()
                .map_err(|_| StoreError::inconsistent(HEADS, "a log's name is malformed"))?;
            head_from_db(&log, (epoch, sequence, hash, recorded_time, first_epoch))
        })
        .collect()
}

/// The events of `log` that follow `after`, in order and without a hole, up to `limit`.
///
/// Nothing follows the head of a log, and nothing stands in a log that does not exist. A hole is
/// [`StoreError::Inconsistent`], never skipped.
pub async fn read(
    conn: &mut Conn,
    log: &LogName,
    after: Sequence,
    limit: PageLimit,
) -> Result<Vec<StoredEvent>, StoreError> {
    Ok(read_page(conn, log, after, limit).await?.0)
}

/// The same, and whether others may follow for which there was no room.
pub async fn read_page(
    conn: &mut Conn,
    log: &LogName,
    after: Sequence,
    limit: PageLimit,
) -> Result<(Vec<StoredEvent>, bool), StoreError> {
    let mut events = Vec::new();
    let mut octets = 0;
    let mut next = after.saturating_add(1);
    let mut rows = scan(conn, log, after, limit.events);
    while let Some(row) = rows.try_next().await? {
        let event = event_from_db(row)?;
        if event.sequence != next {
            return Err(StoreError::inconsistent(EVENTS, "an event is missing"));
        }
        if !events.is_empty() && octets + event.event.len() > limit.octets {
            return Ok((events, true));
        }
        octets += event.event.len();
        next += 1;
        events.push(event);
    }
    let is_full = events.len() >= limit.events as usize;
    Ok((events, is_full))
}

/// The chain's hash after event `sequence` of `log`, or before the first for zero; `None` if the log
/// has not come so far or does not exist.
pub async fn hash_at(
    conn: &mut Conn,
    log: &LogName,
    sequence: Sequence,
) -> Result<Option<Hash>, StoreError> {
    if sequence == 0 {
        let head = head(conn, log).await?;
        return Ok(head.map(|head| chain::genesis(log, head.first_epoch)));
    }
    let hash: Option<Vec<u8>> =
        query_scalar("SELECT hash FROM log_event WHERE log = $1 AND sequence = $2")
            .bind(log.as_str())
            .bind(sequence_to_db(sequence))
            .fetch_optional(conn)
            .await?;
    hash.map(|hash| hash_from_db(EVENTS, hash)).transpose()
}

/// When event `sequence` of `log` was recorded; `None` for zero, or if the log has not come so far or
/// does not exist.
pub async fn recorded_at(
    conn: &mut Conn,
    log: &LogName,
    sequence: Sequence,
) -> Result<Option<Timestamp>, StoreError> {
    let recorded: Option<i64> =
        query_scalar("SELECT recorded_time FROM log_event WHERE log = $1 AND sequence = $2")
            .bind(log.as_str())
            .bind(sequence_to_db(sequence))
            .fetch_optional(conn)
            .await?;
    Ok(recorded.map(Timestamp::from_micros))
}

/// When each of the events of `log` that follow `after` was recorded, in order and without a hole, up to
/// `events` of them: [`read`] without the events themselves.
pub async fn recorded_times(
    conn: &mut Conn,
    log: &LogName,
    after: Sequence,
    events: u32,
) -> Result<Vec<Timestamp>, StoreError> {
    let rows: Vec<(i64, i64)> = query_as(
        "SELECT sequence, recorded_time FROM log_event \
         WHERE log = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
    )
    .bind(log.as_str())
    .bind(sequence_to_db(after))
    .bind(i64::from(events))
    .fetch_all(conn)
    .await?;
    let next = after.saturating_add(1);
    let times = (next..).zip(rows).map(|(next, (sequence, recorded))| {
        if sequence_from_db(EVENTS, sequence)? != next {
            return Err(StoreError::inconsistent(EVENTS, "an event is missing"));
        }
        Ok(Timestamp::from_micros(recorded))
    });
    times.collect()
}

/// The last event of `log` that was recorded at `time` or before, of those that are there: zero if
/// there is none. A transaction under way may add one; [`Store::known_at`](crate::Store::known_at)
/// waits for it.
pub async fn known_at(
    conn: &mut Conn,
    log: &LogName,
    time: Timestamp,
) -> Result<Sequence, StoreError> {
    let sequence: Option<i64> = query_scalar(
        "SELECT sequence FROM log_event WHERE log = $1 AND recorded_time <= $2 \
         ORDER BY recorded_time DESC, sequence DESC LIMIT 1",
    )
    .bind(log.as_str())
    .bind(time.micros())
    .fetch_optional(conn)
    .await?;
    sequence_from_db(EVENTS, sequence.unwrap_or(0))
}

pub(crate) type HeadRow = (i64, i64, Vec<u8>, i64, i64);
pub(crate) type EventRow = (i64, i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// The rows that follow `after` as they stand, holes and all.
pub(crate) fn scan<'c>(
    conn: &'c mut Conn,
    log: &LogName,
    after: Sequence,
    events: u32,
) -> futures::stream::BoxStream<'c, Result<EventRow, StoreError>> {
    query_as(
        "SELECT sequence, recorded_time, previous_hash, hash, event FROM log_event \
         WHERE log = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
    )
    .bind(log.as_str().to_owned())
    .bind(sequence_to_db(after))
    .bind(i64::from(events))
    .fetch(conn)
}

/// Makes `log` if it is not there, empty and in `epoch`.
pub(crate) async fn create(conn: &mut Conn, log: &LogName, epoch: Epoch) -> Result<(), StoreError> {
    query(
        "INSERT INTO log_head (log, epoch, sequence, hash, recorded_time, first_epoch) \
         VALUES ($1, $2, 0, $3, $4, $2) ON CONFLICT (log) DO NOTHING",
    )
    .bind(log.as_str())
    .bind(sequence_to_db(epoch.get()))
    .bind(chain::genesis(log, epoch).as_slice())
    .bind(i64::MIN)
    .execute(conn)
    .await?;
    Ok(())
}

/// The end of `log`, which nobody else can move until the transaction ends; `None` if there is no such log.
/// On SQLite a transaction that writes has the lock of the whole file from its beginning.
pub(crate) fn lock_question(conn: &Conn, log: &LogName) -> Question<Option<Head>> {
    head_of(log, conn.by_engine("", " FOR UPDATE"))
}

/// What adds `events` to `log`.
pub(crate) fn additions(
    log: &LogName,
    events: &[StoredEvent],
) -> impl Iterator<Item = QueryBuilder> {
    crate::rows::insertions(
        "INSERT INTO log_event (log, sequence, recorded_time, previous_hash, hash, event)",
        events,
        6,
        "",
        |mut row, event| {
            row.push_bind(log.as_str())
                .push_bind(sequence_to_db(event.sequence))
                .push_bind(event.recorded_time.micros())
                .push_bind(event.previous_hash.as_slice())
                .push_bind(event.hash.as_slice())
                .push_bind(event.event.as_slice());
        },
    )
}

/// What moves the head, which stood at `stored`, to `head`. It writes one row, or the head has moved.
pub(crate) fn move_head(stored: Sequence, head: &Head) -> QueryBuilder {
    let mut query = QueryBuilder::new("UPDATE log_head SET sequence = ");
    query.push_bind(sequence_to_db(head.position.sequence));
    query.push(", hash = ").push_bind(head.hash.as_slice());
    query.push(", recorded_time = ");
    query.push_bind(head.recorded_time.micros());
    query.push(" WHERE log = ");
    query.push_bind(head.position.log.as_str());
    query.push(" AND sequence = ");
    query.push_bind(sequence_to_db(stored));
    query
}

pub(crate) fn head_from_db(log: &LogName, row: HeadRow) -> Result<Head, StoreError> {
    let (epoch, sequence, hash, recorded_time, first_epoch) = row;
    Ok(Head {
        position: Position {
            log: log.clone(),
            epoch: epoch_from_db(HEADS, epoch)?,
            sequence: sequence_from_db(HEADS, sequence)?,
        },
        hash: hash_from_db(HEADS, hash)?,
        recorded_time: Timestamp::from_micros(recorded_time),
        first_epoch: epoch_from_db(HEADS, first_epoch)?,
    })
}

pub(crate) fn event_from_db(row: EventRow) -> Result<StoredEvent, StoreError> {
    let (sequence, recorded_time, previous_hash, hash, event) = row;
    Ok(StoredEvent {
        sequence: sequence_from_db(EVENTS, sequence)?,
        recorded_time: Timestamp::from_micros(recorded_time),
        previous_hash: hash_from_db(EVENTS, previous_hash)?,
        hash: hash_from_db(EVENTS, hash)?,
        event,
    })
}

/// An epoch read from `table`, which holds only positive ones.
pub(crate) fn epoch_from_db(table: &'static str, epoch: i64) -> Result<Epoch, StoreError> {
    u64::try_from(epoch)
        .ok()
        .and_then(Epoch::new)
        .ok_or_else(|| StoreError::inconsistent(table, "an epoch is out of range"))
}

pub(crate) fn hash_from_db(table: &'static str, hash: Vec<u8>) -> Result<Hash, StoreError> {
    hash.try_into()
        .map_err(|_| StoreError::inconsistent(table, "a hash has not 32 octets"))
}
