//! What does one write transaction hold, and in which order does it reach the disk?
//!
//! Events, head rows, kept answers and the service's rows are gathered here and written by
//! [`WriteTx::commit`], each table in one statement and all on one way to the database: a service cannot
//! commit its state rows and forget the event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use mesh_types::chain;
use mesh_types::{Doubt, Epoch, LogName, Position, Timestamp};

use crate::ahead::ahead_of;
use crate::cursor::Cursor;
use crate::guard::Guard;
use crate::idempotency::Requests;
use crate::keeping::Keeping;
use crate::log::{self, Head, StoredEvent};
use crate::rows::insertions;
use crate::sql::{Columns, Conn, QueryBuilder, Questions, Tx, ask, execute_together};
use crate::{Committed, Fingerprint, Outcome, RequestKey, StoreError};

/// What an event must know about itself before it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStamp {
    /// Where it will stand.
    pub position: Position,
    /// When it is recorded: the transaction's time, or the log's last if the clock went back.
    pub recorded_time: Timestamp,
}

/// One transaction that may write. Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct WriteTx {
    tx: Tx,
    times: Times,
    tails: BTreeMap<LogName, Tail>,
    requests: Requests,
    /// What writes the service's rows.
    rows: Vec<QueryBuilder>,
    keeping: Keeping,
    guard: Arc<Guard>,
    committed: Committed,
    /// After this instant it is too late to commit.
    deadline: Option<Instant>,
}

/// What time it is for a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// What the clock showed when it began.
    pub(crate) shown: Timestamp,
    /// The same, or what it showed to an earlier one if it has gone back.
    pub(crate) now: Timestamp,
    /// Whether events may be recorded at a time that is far ahead of the clock, because the last one
    /// of their log was.
    pub(crate) may_be_ahead: bool,
}

/// A locked log, and the events that are to follow what is stored.
#[derive(Debug)]
struct Tail {
    stored: u64,
    head: Head,
    events: Vec<StoredEvent>,
}

impl WriteTx {
    pub(crate) fn new(
        tx: Tx,
        times: Times,
        keeping: Keeping,
        guard: Arc<Guard>,
        committed: Committed,
    ) -> Self {
        Self {
            tx,
            times,
            tails: BTreeMap::new(),
            requests: Requests::default(),
            rows: Vec::new(),
            keeping,
            guard,
            committed,
            deadline: None,
        }
    }

    /// The connection, for the service's own statements.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.tx
    }

    /// The clock's time when the transaction had got the write lock, but never before that of an
    /// earlier transaction, of whichever process: for all that is recorded and must not go back.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.times.now
    }

    /// What the clock showed then, even if it has gone back: for what must come right as soon as the
    /// clock does.
    #[must_use]
    pub const fn shown(&self) -> Timestamp {
        self.times.shown
    }

    /// Makes `log` if it is not there, empty and in `epoch`
    /// (see [`random_epoch`](log::random_epoch)).
    pub async fn create_log(&mut self, log: &LogName, epoch: Epoch) -> Result<(), StoreError> {
        log::create(&mut self.tx, log, epoch).await
    }

    /// Locks the head of `log` until the transaction ends. Do it before reading anything that a
    /// decision rests on; lock several logs with [`lock_all`](Self::lock_all).
    ///
    /// A log that does not exist is [`StoreError::Inconsistent`]. One whose last event has a time that
    /// is still to come is [`StoreError::ClockNotBelieved`], unless an operator accepted the clock.
    pub async fn lock(&mut self, log: &LogName) -> Result<(), StoreError> {
        match self.lock_if_there(log).await? {
            true => Ok(()),
            false => Err(no_log()),
        }
    }

    /// The same, but for a log that does not exist, of which it says so.
    pub async fn lock_if_there(&mut self, log: &LogName) -> Result<bool, StoreError> {
        if self.tails.contains_key(log) {
            return Ok(true);
        }
        let question = log::lock_question(&self.tx, log);
        match ask(&mut self.tx, question).await? {
            Some(head) => self.locked(log, head).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn locked(&mut self, log: &LogName, head: Head) -> Result<(), StoreError> {
        self.guard.recall(&mut self.tx, &head).await?;
        let ahead = self.ahead(&head);
        if let Some(doubt) = ahead.filter(|_| !self.times.may_be_ahead) {
            return Err(StoreError::ClockNotBelieved(doubt));
        }
        let tail = Tail {
            stored: head.position.sequence,
            head,
            events: Vec::new(),
        };
        self.tails.insert(log.clone(), tail);
        Ok(())
    }

    /// Locks the head of `log`, looks up `keys`, and asks `others`: what most transactions begin with, on one
    /// way to the database where that can be.
    pub async fn open<'a, Q: Questions>(
        &mut self,
        log: &LogName,
        keys: impl IntoIterator<Item = &'a RequestKey>,
        others: Q,
    ) -> Result<Q::Answers, StoreError> {
        let head = log::lock_question(&self.tx, log);
        let questions = (head, self.requests.question(keys), others);
        let (head, stored, answers) = ask(&mut self.tx, questions).await?;
        self.locked(log, head.ok_or_else(no_log)?).await?;
        self.requests.learn(stored);
        Ok(answers)
    }

    /// Locks the heads of several logs, always in the order of their names so that no two
    /// transactions wait for one another.
    pub async fn lock_all<'a>(
        &mut self,
        logs: impl IntoIterator<Item = &'a LogName>,
    ) -> Result<(), StoreError> {
        let mut logs: Vec<_> = logs.into_iter().collect();
        logs.sort_unstable();
        for log in logs {
            self.lock(log).await?;
        }
        Ok(())
    }

    /// That events of a locked log are recorded at a time that is far ahead of the clock.
    pub fn log_ahead(&self, log: &LogName) -> Result<Option<Doubt>, StoreError> {
        Ok(self.ahead(self.head(log)?))
    }

    fn ahead(&self, head: &Head) -> Option<Doubt> {
        ahead_of(self.times.shown, head.recorded_time.max(self.times.now))
    }

    /// The end of a locked log, events appended in this transaction included.
    pub fn head(&self, log: &LogName) -> Result<&Head, StoreError> {
        self.tails
            .get(log)
            .map_or_else(|| Err(not_locked()), |tail| Ok(&tail.head))
    }

    /// Appends one event to a locked log. `encode` is given the event's place and time and returns
    /// the octets that are stored, hashed and sent.
    pub fn append(
        &mut self,
        log: &LogName,
        encode: impl FnOnce(&EventStamp) -> Vec<u8>,
    ) -> Result<EventStamp, StoreError> {
        let Some(tail) = self.tails.get_mut(log) else {
            return Err(not_locked());
        };
        let head = &mut tail.head;
        let mut position = head.position.clone();
        position.sequence += 1;
        let stamp = EventStamp {
            position,
            recorded_time: self.times.now.max(head.recorded_time),
        };
        let sequence = stamp.position.sequence;
        let event = encode(&stamp);
        let stored = StoredEvent {
            sequence,
            recorded_time: stamp.recorded_time,
            previous_hash: head.hash,
            hash: chain::link(&head.hash, sequence, &event),
            event,
        };
        head.position.sequence = sequence;
        head.hash = stored.hash;
        head.recorded_time = stored.recorded_time;
        tail.events.push(stored);
        Ok(stamp)
    }

    /// Reads what is kept for all of `keys`; [`outcome`](Self::outcome) judges one of them.
    pub async fn look_up<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a RequestKey>,
    ) -> Result<(), StoreError> {
        let question = self.requests.question(keys);
        let stored = ask(&mut self.tx, question).await?;
        self.requests.learn(stored);
        Ok(())
    }

    /// Whether a request that was looked up is new. One kept earlier in this transaction is not.
    pub fn outcome(
        &self,
        key: &RequestKey,
        fingerprint: &Fingerprint,
    ) -> Result<Outcome, StoreError> {
        self.requests.outcome(key, fingerprint)
    }

    /// Keeps the answer of a new request that was accepted, for thirty days at least.
    pub fn keep(
        &mut self,
        key: &RequestKey,
        fingerprint: Fingerprint,
        answer: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.requests.keep(key, fingerprint, answer)
    }

    /// Inserts `rows` as [`insert_rows`](crate::insert_rows) does, but when the transaction commits:
    /// together with its events, which saves a way to the database. Until then, or until they are
    /// [flushed](Self::flush), nothing that is read shows them, and no row may be inserted twice.
    pub fn insert_rows<T>(
        &mut self,
        insert: &'static str,
        rows: &[T],
        columns: usize,
        after: &'static str,
        bind: impl Fn(Columns<'_>, &T),
    ) {
        let statements = insertions(insert, rows, columns, after, bind);
        self.rows.extend(statements);
    }

    /// Inserts at once what [`insert_rows`](Self::insert_rows) was given, for what is read after that.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        execute_together(&mut self.tx, rows).await?;
        Ok(())
    }

    /// Has the transaction commit before `deadline`, or not at all: what it rests on holds no longer.
    /// Of several the earliest counts.
    pub fn commit_before(&mut self, deadline: Instant) {
        let earlier = self.deadline.is_none_or(|earliest| deadline < earliest);
        if earlier {
            self.deadline = Some(deadline);
        }
    }

    /// Writes what was gathered, commits, and then wakes those who wait for the logs.
    ///
    /// After [`StoreError::Unavailable`] it is not known whether the commit took effect; after any
    /// other error nothing was written.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self {
            mut tx,
            tails,
            requests,
            rows,
            keeping,
            guard,
            committed,
            deadline,
            ..
        } = self;
        let (answers, kept) = requests.additions(keeping.date());
        write_all(&mut tx, &tails, rows, answers).await?;
        #[cfg(feature = "faults")]
        if tails.values().any(|tail| !tail.events.is_empty()) {
            crate::faults::strike().await?;
        }
        let forgotten = keeping.tend(&mut tx, kept).await?;
        // What came to light since the transaction began stops it, too.
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            tx.rollback().await?;
            return Err(StoreError::TooLate);
        }
        guard.before_commit()?;
        tx.commit().await?;
        let moved = tails.values().filter(|tail| !tail.events.is_empty());
        guard.committed(moved.map(|tail| Cursor::from(&tail.head)))?;
        keeping.committed(forgotten);
        for (log, tail) in tails {
            committed.publish(&log, tail.head.position.sequence);
        }
        committed.note();
        Ok(())
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        self.tx.rollback().await
    }
}

/// Moves the heads that have new events, and writes those and all else. Heads come first, so that how many
/// rows each wrote is known by its place.
async fn write_all(
    conn: &mut Conn,
    tails: &BTreeMap<LogName, Tail>,
    rows: Vec<QueryBuilder>,
    answers: Vec<QueryBuilder>,
) -> Result<(), StoreError> {
    let moved: Vec<_> = tails
        .iter()
        .filter(|(_, tail)| !tail.events.is_empty())
        .collect();
    let heads = moved
        .iter()
        .map(|(_, tail)| log::move_head(tail.stored, &tail.head));
    let events = moved
        .iter()
        .flat_map(|(log, tail)| log::additions(log, &tail.events));
    let statements = heads.chain(events).chain(rows).chain(answers).collect();
    let written = execute_together(conn, statements).await?;
    if written.iter().take(moved.len()).any(|&heads| heads != 1) {
        return Err(StoreError::inconsistent(
            log::HEADS,
            "a locked head has moved",
        ));
    }
    Ok(())
}

fn no_log() -> StoreError {
    StoreError::inconsistent(log::HEADS, "the log does not exist")
}

fn not_locked() -> StoreError {
    StoreError::inconsistent(log::HEADS, "a log was used before it was locked")
}
