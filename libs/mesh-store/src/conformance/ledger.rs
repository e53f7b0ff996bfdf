//! The smallest service that uses all of the store: it puts items and tells its log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mesh_types::{LogName, ManualClock, Sequence, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Database;
use crate::log::StoredEvent;
use crate::sql::query_scalar;
use crate::{
    Answers, Batch, Fingerprint, Migrator, Outcome, RequestKey, Store, StoreError, WriteTx, Writer,
    WriterSettings, WriterTask, fingerprint, log, sequence_to_db,
};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/conformance/migrations");

/// What a command does.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Puts its item and appends an event.
    Put,
    /// Is refused by the service.
    Refuse,
    /// Writes and then panics.
    Panic,
    /// Writes what the schema refuses at once.
    BreakRule,
    /// Writes what the schema refuses when it is committed.
    BreakCommit,
    /// Puts its item, so many times too late to commit.
    Late(Arc<AtomicUsize>),
    /// Holds the transaction until the gate is opened, and writes nothing.
    Hold(Arc<Gate>),
}

/// Holds a transaction open, so that a test decides what goes into the next one.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) entered: Notify,
    pub(super) open: Notify,
}

#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) key: RequestKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) item: i64,
    pub(super) deed: Deed,
}

impl Command {
    /// A command with a request id of its own.
    pub(super) fn new(item: i64, deed: Deed) -> Self {
        Self {
            key: RequestKey {
                party: "A".to_owned(),
                rpc: "Put".into(),
                request_id: item.to_string(),
            },
            fingerprint: fingerprint([item.to_be_bytes().as_slice()]),
            item,
            deed,
        }
    }

    pub(super) fn put(item: i64) -> Self {
        Self::new(item, Deed::Put)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum No {
    #[error("refused")]
    Refused,
    #[error("request id reused")]
    Reused,
}

#[derive(Debug)]
pub(super) struct Ledger {
    log: LogName,
}

struct Row {
    id: i64,
    parent: Option<i64>,
    sequence: Sequence,
}

impl Batch for Ledger {
    type Command = Command;
    type Answer = Sequence;
    type Error = No;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Sequence, No>, StoreError> {
        let keys = commands.iter().map(|command| &command.key);
        tx.open(&self.log, keys, ()).await?;
        let mut rows = Vec::new();
        let mut answers = Vec::new();
        for command in commands {
            answers.push(match tx.outcome(&command.key, &command.fingerprint)? {
                Outcome::Replay(answer) => Ok(sequence(&answer)?),
                Outcome::Reused => Err(No::Reused),
                Outcome::New => self.perform(tx, command, &mut rows).await?,
            });
        }
        put(tx, &rows);
        assert!(
            !commands
                .iter()
                .any(|command| matches!(command.deed, Deed::Panic)),
            "a panic that a test asked for"
        );
        Ok(answers)
    }
}

impl Ledger {
    async fn perform(
        &self,
        tx: &mut WriteTx,
        command: &Command,
        rows: &mut Vec<Row>,
    ) -> Result<Result<Sequence, No>, StoreError> {
        let parent = match &command.deed {
            Deed::Refuse => return Ok(Err(No::Refused)),
            Deed::Hold(gate) => {
                gate.entered.notify_one();
                gate.open.notified().await;
                return Ok(Ok(0));
            }
            Deed::BreakCommit => Some(-1),
            Deed::Late(times) => {
                let late = |left: usize| left.checked_sub(1);
                let late = times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, late);
                if late.is_ok() {
                    tx.commit_before(Instant::now());
                }
                None
            }
            Deed::Put | Deed::Panic | Deed::BreakRule => None,
        };
        let stamp = tx.append(&self.log, |stamp| {
            format!(
                "{} {} {}",
                stamp.position.sequence,
                stamp.recorded_time.micros(),
                command.item
            )
            .into_bytes()
        })?;
        let sequence = stamp.position.sequence;
        let times = if matches!(command.deed, Deed::BreakRule) {
            2
        } else {
            1
        };
        for _ in 0..times {
            rows.push(Row {
                id: command.item,
                parent,
                sequence,
            });
        }
        tx.keep(
            &command.key,
            command.fingerprint,
            sequence.to_be_bytes().to_vec(),
        )?;
        Ok(Ok(sequence))
    }
}

fn put(tx: &mut WriteTx, rows: &[Row]) {
    tx.insert_rows(
        "INSERT INTO item (id, parent, sequence)",
        rows,
        3,
        "",
        |mut row, item| {
            row.push_bind(item.id)
                .push_bind(item.parent)
                .push_bind(sequence_to_db(item.sequence));
        },
    );
}

fn sequence(answer: &[u8]) -> Result<Sequence, StoreError> {
    answer
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::inconsistent("idempotency", "the answer is not a sequence"))
}

pub(super) type Answered = Result<Result<Sequence, No>, StoreError>;

/// A store, a running writer on it, and a clock that the test moves.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) log: LogName,
    pub(super) clock: Arc<ManualClock>,
    pub(super) writer: Writer<Ledger>,
    pub(super) task: Option<WriterTask>,
}

impl World {
    pub(super) async fn start(
        database: &Database,
        settings: WriterSettings,
    ) -> Result<Self, StoreError> {
        let store = Store::open(&database.with_leave(), &MIGRATIONS).await?;
        let log = ledger_log()?;
        let mut tx = store.begin_write(Timestamp::from_micros(0)).await?;
        tx.create_log(&log, log::random_epoch()).await?;
        tx.commit().await?;
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let ledger = Ledger { log: log.clone() };
        let (writer, task) = Writer::start(store.clone(), ledger, clock.clone(), settings);
        Ok(Self {
            store,
            log,
            clock,
            writer,
            task: Some(task),
        })
    }

    /// Stops the writer and closes the store, so that the database can be opened again.
    pub(super) async fn stop(self) {
        drop(self.writer);
        if let Some(task) = self.task {
            task.shutdown().await;
        }
        self.store.close().await;
    }

    /// Starts a transaction that lasts until the gate is opened.
    pub(super) async fn hold(&self) -> (Arc<Gate>, JoinHandle<Answered>) {
        let gate = Arc::new(Gate::default());
        let command = Command::new(-100, Deed::Hold(gate.clone()));
        let writer = self.writer.clone();
        let held = tokio::spawn(async move { writer.submit(command).await });
        gate.entered.notified().await;
        (gate, held)
    }

    /// Submits `command` and waits until it stands in the queue. Only while a transaction is held.
    pub(super) async fn queue(&self, command: Command) -> JoinHandle<Answered> {
        let before = self.writer.waiting();
        let writer = self.writer.clone();
        let mut submitted = Box::pin(async move { writer.submit(command).await });
        // A place counts as taken a moment before the command stands in it. Polled here, it does when the poll is
        // over: no other thread can put the next command before it.
        while self.writer.waiting() == before {
            let answer = futures::poll!(&mut submitted);
            assert!(answer.is_pending(), "{answer:?}");
            tokio::task::yield_now().await;
        }
        tokio::spawn(submitted)
    }

    /// Applies `commands` in one transaction and returns their answers.
    pub(super) async fn together(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Answered>, tokio::task::JoinError> {
        let (gate, held) = self.hold().await;
        let mut tasks = Vec::new();
        for command in commands {
            tasks.push(self.queue(command).await);
        }
        gate.open.notify_one();
        let _ = held.await?;
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await?);
        }
        Ok(answers)
    }

    /// All events of the log, read page by page.
    pub(super) async fn events(&self) -> Result<Vec<StoredEvent>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let mut events: Vec<StoredEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.sequence);
            let page = log::read(&mut conn, &self.log, after, log::PageLimit::default()).await?;
            if page.is_empty() {
                return Ok(events);
            }
            events.extend(page);
        }
    }

    /// When the log's events were recorded, in their order, in microseconds.
    pub(super) async fn times(&self) -> Result<Vec<i64>, StoreError> {
        let events = self.events().await?;
        let time = |event: &StoredEvent| event.recorded_time.micros();
        Ok(events.iter().map(time).collect())
    }

    /// The last event that was known at a time, in microseconds.
    pub(super) async fn known_at(&self, time: i64) -> Result<Option<Sequence>, StoreError> {
        let time = Timestamp::from_micros(time);
        let clock = self.clock.as_ref();
        let known = self.store.known_at(&self.log, time, clock).await?;
        Ok(known.map(|position| position.sequence))
    }

    /// The items of the log's events, in their order.
    pub(super) async fn told(&self) -> Result<Vec<i64>, StoreError> {
        let events = self.events().await?;
        let item = |event: &StoredEvent| {
            let text = String::from_utf8_lossy(&event.event).into_owned();
            let item = text.split(' ').nth(2).and_then(|item| item.parse().ok());
            item.ok_or_else(|| StoreError::inconsistent("log_event", "not the ledger's event"))
        };
        events.iter().map(item).collect()
    }

    /// The items that the service has put, in the order of their events.
    pub(super) async fn items(&self) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        query_scalar("SELECT id FROM item ORDER BY sequence")
            .fetch_all(&mut conn)
            .await
    }

    /// How many answers are kept.
    pub(super) async fn kept(&self) -> Result<i64, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        query_scalar("SELECT count(*) FROM idempotency")
            .fetch_one(&mut conn)
            .await
    }
}

pub(super) fn ledger_log() -> Result<LogName, StoreError> {
    "ledger"
        .parse()
        .map_err(|_| StoreError::inconsistent("log_head", "the name is malformed"))
}
