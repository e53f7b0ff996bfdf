//! Where are the records kept?
//!
//! In a database of their own, as events of one log. So everything that holds for a log holds for them:
//! the chain, what checks and exports it, how a copy is taken.

use std::convert::Infallible;
use std::sync::Arc;

use mesh_api::common::v1::EventStamp;
use mesh_api::convert::timestamp_to_wire;
use mesh_store::{
    Answers, Batch, Database, Migrator, Store, StoreError, WriteTx, Writer, WriterSettings,
    WriterTask, log,
};
use mesh_types::{Clock, LikelyClock, LogName, Sequence};
use prost::Message as _;

use crate::pseudonym::Pseudonyms;

/// What makes the tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The audit database of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AuditStore {
    store: Store,
    log: LogName,
    writer: Writer<Keeper>,
}

/// Events that follow one another, and where they belong: asked for twice, they are written once.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    /// What the log's head is before them.
    pub(crate) after: Sequence,
    /// The encoded records of each event, in the form in which they stand in an `AuditEvent`.
    pub(crate) records: Arc<Vec<Vec<u8>>>,
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

    /// Has events written, unless they are there.
    pub(crate) async fn write(&self, events: Events) -> Result<(), StoreError> {
        match self.writer.submit(events).await? {
            Ok(()) => Ok(()),
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
    type Answer = ();
    type Error = Infallible;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Events],
    ) -> Result<Answers<(), Infallible>, StoreError> {
        tx.lock(&self.log).await?;
        for Events { after, records } in commands {
            let head = tx.head(&self.log)?.position.sequence;
            let count = Sequence::try_from(records.len()).unwrap_or(Sequence::MAX);
            if head == after.saturating_add(count) {
                // Written before, by a commit of which it was not known whether it took effect.
                continue;
            }
            if head != *after {
                let what = "somebody else writes into the log of the audit";
                return Err(StoreError::inconsistent("log_head", what));
            }
            for records in records.iter() {
                tx.append(&self.log, |stamp| {
                    let said = EventStamp {
                        sequence: stamp.position.sequence,
                        recorded_time: Some(timestamp_to_wire(stamp.recorded_time)),
                    };
                    // An event begins with its stamp; the fields of a message follow one another.
                    let mut event = said.encode_to_vec();
                    event.extend_from_slice(records);
                    event
                })?;
            }
        }
        Ok(commands.iter().map(|_| Ok(())).collect())
    }
}
