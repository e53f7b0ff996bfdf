//! Where are the records kept?
//!
//! In a database of their own, as events of one log. So everything that holds for a log holds for them:
//! the chain, what checks and exports it, how a copy is taken.

use std::convert::Infallible;
use std::sync::Arc;

use mesh_api::common::v1::EventStamp;
use mesh_api::convert::timestamp_to_wire;
use mesh_store::log::{PageLimit, StoredEvent};
use mesh_store::sql::Conn;
use mesh_store::{
    Answers, Batch, Database, Migrator, Store, StoreError, WriteTx, Writer, WriterSettings,
    WriterTask, log,
};
use mesh_types::{Clock, LikelyClock, LogName, Sequence, Timestamp};
use prost::Message as _;

use crate::pseudonym::Pseudonyms;

/// The tables of a service's audit.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The audit database of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AuditStore {
    store: Store,
    log: LogName,
    writer: Writer<Keeper>,
}

/// Events that follow one another. On a server other processes write into the log, too.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    /// The encoded records of each event, in the form in which they stand in an `AuditEvent`.
    pub(crate) records: Arc<Vec<Vec<u8>>>,
    /// If they may have been written before, by a commit of which it is not known whether it took effect: after
    /// which event of the log. Then they are looked for first.
    pub(crate) again_after: Option<Sequence>,
}

impl AuditStore {
    /// Opens the database, makes the log `audit/<service>` if it is not there, and starts the writer.
    pub(crate) async fn open(
        database: &Database,
        service: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, WriterTask, Pseudonyms), StoreError> {
        let store = Store::open(database, &MIGRATIONS).await?;
        store.wake(&*clock).await?;
        // What is done while the clock is not believed is put on record too.
        let clock: Arc<dyn Clock> = Arc::new(LikelyClock(clock));
        let log: LogName = format!("audit/{service}")
            .parse()
            .map_err(|_| StoreError::inconsistent("log_head", "the log's name is malformed"))?;
        let mut tx = store.begin_write(clock.now()).await?;
        tx.create_log(&log, log::random_epoch()).await?;
        let pseudonyms = Pseudonyms::load(tx.conn()).await?;
        tx.commit().await?;
        let keeper = Keeper { log: log.clone() };
        let settings = WriterSettings::default();
        let (writer, task) = Writer::start(store.clone(), keeper, clock, settings);
        Ok((Self { store, log, writer }, task, pseudonyms))
    }

    /// The database, for serving its log and for its page tokens.
    pub(crate) const fn database(&self) -> &Store {
        &self.store
    }

    /// The log.
    pub(crate) const fn log(&self) -> &LogName {
        &self.log
    }

    /// The last event.
    pub(crate) async fn head(&self) -> Result<Sequence, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let head = log::head(&mut conn, &self.log).await?;
        let head =
            head.ok_or_else(|| StoreError::inconsistent("log_head", "the log is missing"))?;
        Ok(head.position.sequence)
    }

    /// Has events written, unless they are there. Says which event of the log is the last of them.
    pub(crate) async fn write(&self, events: Events) -> Result<Sequence, StoreError> {
        match self.writer.submit(events).await? {
            Ok(last) => Ok(last),
        }
    }

    pub(crate) async fn close(&self) {
        self.store.close().await;
    }
}

/// Appends to the log.
#[derive(Debug)]
struct Keeper {
    log: LogName,
}

impl Batch for Keeper {
    type Command = Events;
    type Answer = Sequence;
    type Error = Infallible;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Events],
    ) -> Result<Answers<Sequence, Infallible>, StoreError> {
        tx.lock(&self.log).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for events in commands {
            let found = match events.again_after {
                Some(after) => find(tx.conn(), &self.log, after, &events.records).await?,
                None => None,
            };
            if found.is_none() {
                for records in events.records.iter() {
                    tx.append(&self.log, |stamp| {
                        event(stamp.position.sequence, stamp.recorded_time, records)
                    })?;
                }
            }
            let head = tx.head(&self.log)?.position.sequence;
            answers.push(Ok(found.unwrap_or(head)));
        }
        Ok(answers)
    }
}

/// The octets of an event. It begins with its stamp; the fields of a message follow one another.
fn event(sequence: Sequence, recorded_time: Timestamp, records: &[u8]) -> Vec<u8> {
    let said = EventStamp {
        sequence,
        recorded_time: Some(timestamp_to_wire(recorded_time)),
    };
    let mut event = said.encode_to_vec();
    event.extend_from_slice(records);
    event
}

/// The last of events with these `records` that stand in the log after event `after`. They were written together,
/// and hold when each call was, so that no others are like them.
async fn find(
    conn: &mut Conn,
    log: &LogName,
    after: Sequence,
    records: &[Vec<u8>],
) -> Result<Option<Sequence>, StoreError> {
    let Some(last) = records.last() else {
        return Ok(None);
    };
    let mut after = after;
    loop {
        let (page, more) = log::read_page(conn, log, after, PageLimit::default()).await?;
        let has = |stored: &StoredEvent| {
            stored.event == event(stored.sequence, stored.recorded_time, last)
        };
        if let Some(found) = page.iter().find(|stored| has(stored)) {
            return Ok(Some(found.sequence));
        }
        match page.last() {
            Some(last) if more => after = last.sequence,
            _ => return Ok(None),
        }
    }
}
