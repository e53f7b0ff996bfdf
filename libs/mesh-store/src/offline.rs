//! How are the logs read in a database behind its service's back: a backup, an auditor's copy, a standby?
//!
//! Nothing is believed of a file: not that its schema is the present one, not that its indexes
//! say what its tables say, not that a column holds its type. Nothing is written into the file or
//! beside it. A server is believed to keep what its tables say; all that is read there is one committed
//! state, whoever goes on writing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::Path;

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use mesh_types::{Epoch, LogName, Timestamp};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use crate::history::Step;
use crate::location::{Location, Place};
use crate::log::{Head, head_from_db};
use crate::postgres::Server;
use crate::sql::{Conn, query, query_as, query_scalar};
use crate::sqlite::beside;
use crate::verify::{Checker, Found, Misfit, ReadStamp, Verified, What, led_to};
use crate::{StoreError, catalogue, wal};

const DATABASE: &str = "the database";
// What SQLite keeps beside a file whose last transactions are not in it yet.
const WAL: &str = "-wal";
const JOURNAL: &str = "-journal";

// Tables are read in the order of their rows, never through an index: an index repeats columns and
// could hide that the table says otherwise. Events were appended, so that this is also the order of
// every log. `sound` is false if a column does not hold its type.
const HEADS: &str = "SELECT CAST(log AS BLOB), CAST(epoch AS INTEGER), CAST(sequence AS INTEGER), \
     CAST(hash AS BLOB), CAST(recorded_time AS INTEGER), \
     CAST(first_epoch AS INTEGER), \
     typeof(log) || typeof(epoch) || typeof(sequence) || typeof(hash) || typeof(recorded_time) \
     || typeof(first_epoch) = 'textintegerintegerblobintegerinteger' AS sound \
     FROM log_head NOT INDEXED ORDER BY rowid";
// As databases were before logs had more than one history.
const HEADS_OF_ONE_HISTORY: &str = "SELECT CAST(log AS BLOB), CAST(epoch AS INTEGER), \
     CAST(sequence AS INTEGER), CAST(hash AS BLOB), CAST(recorded_time AS INTEGER), \
     CAST(epoch AS INTEGER), \
     typeof(log) || typeof(epoch) || typeof(sequence) || typeof(hash) || typeof(recorded_time) \
     = 'textintegerintegerblobinteger' AS sound \
     FROM log_head NOT INDEXED ORDER BY rowid";
const STEPS: &str = "SELECT CAST(log AS BLOB), CAST(epoch AS INTEGER), CAST(next_epoch AS INTEGER) \
     FROM log_history NOT INDEXED ORDER BY rowid";
const EVENTS: &str = "SELECT CAST(log AS BLOB), CAST(sequence AS INTEGER), \
     CAST(recorded_time AS INTEGER), CAST(previous_hash AS BLOB), CAST(hash AS BLOB), \
     CAST(event AS BLOB), \
     typeof(log) || typeof(sequence) || typeof(recorded_time) || typeof(previous_hash) \
     || typeof(hash) || typeof(event) = 'textintegerintegerblobblobblob' AS sound \
     FROM log_event NOT INDEXED ORDER BY rowid";

// The columns of a server hold their types, and its indexes lead to its rows.
const HEADS_ON_SERVER: &str = "SELECT convert_to(log, 'UTF8'), epoch, sequence, hash, recorded_time, \
     first_epoch, TRUE FROM log_head ORDER BY log";
const STEPS_ON_SERVER: &str = "SELECT convert_to(log, 'UTF8'), epoch, next_epoch FROM log_history";
const EVENTS_ON_SERVER: &str = "SELECT convert_to(log, 'UTF8'), sequence, recorded_time, previous_hash, \
     hash, event, TRUE FROM log_event ORDER BY log, sequence";

type Octets = Option<Vec<u8>>;
type HeadRow = (
    Octets,
    Option<i64>,
    Option<i64>,
    Octets,
    Option<i64>,
    Option<i64>,
    bool,
);
type StepRow = (Octets, Option<i64>, Option<i64>);
type EventRow = (
    Octets,
    Option<i64>,
    Option<i64>,
    Octets,
    Octets,
    Octets,
    bool,
);

/// A database that is only read.
#[derive(Debug)]
pub struct Offline {
    conn: Conn,
    tables: BTreeSet<String>,
    /// Keeps a service from opening the file meanwhile.
    _claim: Option<File>,
    copied: Option<Copied>,
}

/// An event as it stands in the file.
#[derive(Debug, Clone)]
pub struct OfflineEvent {
    /// The name of its log, whatever it is.
    pub log: String,
    /// Its number, whatever it is.
    pub sequence: i64,
    /// When it was recorded, as the column says.
    pub recorded_time: Timestamp,
    /// The chain's hash before it.
    pub previous_hash: Vec<u8>,
    /// The chain's hash after it.
    pub hash: Vec<u8>,
    /// The octets that were hashed.
    pub event: Vec<u8>,
    /// Whether every column holds its type.
    pub sound: bool,
}

impl Offline {
    /// Opens the database at `at`: a file with what SQLite keeps beside it if that is there, or a database
    /// on a server as it is now.
    ///
    /// A file that a service has open is [`StoreError::InUse`]; one that is no database, is damaged
    /// at its beginning or has no tables of logs is [`StoreError::Inconsistent`].
    pub async fn open(at: impl Into<Location>) -> Result<Self, StoreError> {
        match at.into().0 {
            Place::File(path) => Self::of_file(&path).await,
            Place::Server(server) => Self::still(server.connect().await?).await,
        }
    }

    /// The same on a server where nobody else has it open, and nobody can write to it meanwhile.
    pub(crate) async fn stopped(server: &Server) -> Result<Self, StoreError> {
        Self::still(server.alone_to_read().await?).await
    }

    /// All that is read by `conn` is what is committed now.
    async fn still(mut conn: Conn) -> Result<Self, StoreError> {
        // It ends with the connection.
        query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut conn)
            .await?;
        Self::of(conn, None, None).await
    }

    async fn of_file(path: &Path) -> Result<Self, StoreError> {
        // SQLite's own error would not say which of the two it is: missing or not permitted.
        File::open(path)?;
        let claim = claim(path)?;
        let copied = copied(path)?;
        let name = path.file_name().unwrap_or_default();
        let options = match &copied {
            // Ours: SQLite may bring it up to date.
            Some(copied) => SqliteConnectOptions::new().filename(copied.folder.path().join(name)),
            // Without locks and without side files of SQLite's own.
            None => SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .immutable(true),
        };
        Self::of(options.connect().await?.into(), claim, copied).await
    }

    async fn of(
        mut conn: Conn,
        claim: Option<File>,
        copied: Option<Copied>,
    ) -> Result<Self, StoreError> {
        let tables = catalogue::names(&mut conn).await?;
        let database = Self {
            conn,
            tables,
            _claim: claim,
            copied,
        };
        if !database.has_table("log_head") || !database.has_table("log_event") {
            return Err(StoreError::inconsistent(
                DATABASE,
                "it has no tables of logs",
            ));
        }
        Ok(database)
    }

    /// Whether there is a table of this name, which tells whose database it is.
    #[must_use]
    pub fn has_table(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    /// Whether its logs may have more than one history.
    fn has_histories(&self) -> bool {
        self.has_table("log_history")
    }

    /// The names of all logs with their heads; `None` for a head that cannot be read.
    pub async fn heads(&mut self) -> Result<BTreeMap<String, Option<Head>>, StoreError> {
        let heads = if self.has_histories() {
            HEADS
        } else {
            HEADS_OF_ONE_HISTORY
        };
        let heads = self.conn.by_engine(heads, HEADS_ON_SERVER);
        let rows: Vec<HeadRow> = query_as(heads).fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().map(head).collect())
    }

    /// Which history followed which, for each log. A row that cannot be read leads nowhere.
    async fn steps(&mut self) -> Result<BTreeMap<String, Vec<Step>>, StoreError> {
        let mut led: BTreeMap<_, Vec<_>> = BTreeMap::new();
        if self.has_histories() {
            let steps = self.conn.by_engine(STEPS, STEPS_ON_SERVER);
            let rows: Vec<StepRow> = query_as(steps).fetch_all(&mut self.conn).await?;
            for (log, epoch, next) in rows {
                let read = |epoch: Option<i64>| Epoch::new(epoch?.try_into().ok()?);
                if let (Some(epoch), Some(next)) = (read(epoch), read(next)) {
                    led.entry(text(log)).or_default().push((epoch, next));
                }
            }
        }
        Ok(led)
    }

    /// The events of all logs, in the order in which they were appended.
    pub fn events(&mut self) -> BoxStream<'_, Result<OfflineEvent, StoreError>> {
        let events = self.conn.by_engine(EVENTS, EVENTS_ON_SERVER);
        let rows = query_as(events).fetch(&mut self.conn);
        Box::pin(rows.map_ok(event))
    }

    /// Checks every log from its first event to its head. `seen` hears of each event.
    pub async fn verify(
        &mut self,
        read_stamp: ReadStamp,
        mut seen: impl FnMut(),
    ) -> Result<Vec<Verified>, StoreError> {
        let mut steps = self.steps().await?;
        let heads = self.heads().await?.into_iter();
        let mut logs: BTreeMap<_, _> = heads
            .map(|(log, head)| (log, head.map(|head| Walk::new(head, read_stamp))))
            .collect();
        let mut events = self.events();
        let rest = loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    if let Some(walk) = logs.entry(event.log.clone()).or_default() {
                        walk.take(&event);
                    }
                    seen();
                }
                Ok(None) => break What::Missing,
                // What stands behind a damaged page cannot be reached.
                Err(StoreError::Inconsistent { .. }) => break What::Unreadable,
                Err(error) => return Err(error),
            }
        };
        let logs = logs.into_iter();
        let judge = |(log, walk)| {
            let steps = steps.remove(&log).unwrap_or_default();
            verified(log, walk, rest, &steps)
        };
        Ok(logs.map(judge).collect())
    }

    /// To read the other tables with.
    pub const fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// What is wrong with the file beyond the events that could be read, such as an index that
    /// contradicts its table; `None` if nothing is found, and on a server, which checks its own files.
    pub async fn damage(&mut self) -> Result<Option<String>, StoreError> {
        if self
            .copied
            .as_ref()
            .is_some_and(|copied| copied.damaged_wal)
        {
            return Ok(Some("its -wal is not what was written into it".to_owned()));
        }
        let check = self
            .conn
            .by_engine("PRAGMA integrity_check(1)", "SELECT 'ok'");
        let found = query_scalar(check).fetch_one(&mut self.conn).await;
        match found {
            Ok(found) => Ok(Some(found).filter(|found| found != "ok")),
            Err(StoreError::Inconsistent { what, .. }) => Ok(Some(what.into_owned())),
            Err(error) => Err(error),
        }
    }
}

/// How far the check of one log has come.
struct Walk {
    head: Head,
    checker: Checker,
    misfit: Option<Misfit>,
}

impl Walk {
    fn new(head: Head, read_stamp: ReadStamp) -> Self {
        let checker = Checker::new(&head.position, head.first_epoch, Some(read_stamp));
        Self {
            head,
            checker,
            misfit: None,
        }
    }

    fn take(&mut self, event: &OfflineEvent) {
        if self.misfit.is_none() {
            let taken = if event.sound {
                self.checker.take(event.found())
            } else {
                Err(self.checker.next_is(What::Unreadable))
            };
            self.misfit = taken.err();
        }
    }
}

/// Judges a log at its end; `None` is a log without a head. `rest` is what became of events that
/// the head promises and that did not come; `steps` are the histories that are over.
fn verified(log: String, walk: Option<Walk>, rest: What, steps: &[Step]) -> Verified {
    let Some(walk) = walk else {
        let misfit = Misfit {
            sequence: 1,
            what: What::NoHead,
        };
        return Verified {
            log,
            fit: 0,
            found: Err(misfit),
        };
    };
    let misfit = walk.misfit.or_else(|| {
        let misfit = walk.checker.ends_at(&walk.head).err()?;
        let missing = misfit.what == What::Missing;
        Some(if missing {
            walk.checker.next_is(rest)
        } else {
            misfit
        })
    });
    Verified {
        log,
        fit: walk.checker.reached().position.sequence,
        found: misfit.map_or_else(|| led_to(walk.head, steps), Err),
    }
}

impl OfflineEvent {
    fn found(&self) -> Found<'_> {
        Found {
            // No event has the number zero, so that a negative one fits nowhere either.
            sequence: self.sequence.try_into().unwrap_or(0),
            recorded_time: self.recorded_time,
            previous_hash: &self.previous_hash,
            hash: &self.hash,
            event: &self.event,
        }
    }
}

fn head(row: HeadRow) -> (String, Option<Head>) {
    let (log, epoch, sequence, hash, recorded_time, first_epoch, sound) = row;
    let name = text(log);
    let read = || {
        let log: LogName = name.parse().ok()?;
        let row = (epoch?, sequence?, hash?, recorded_time?, first_epoch?);
        head_from_db(&log, row).ok()
    };
    let head = read().filter(|_| sound);
    (name, head)
}

fn event(row: EventRow) -> OfflineEvent {
    let (log, sequence, recorded_time, previous_hash, hash, event, sound) = row;
    OfflineEvent {
        log: text(log),
        sequence: sequence.unwrap_or_default(),
        recorded_time: Timestamp::from_micros(recorded_time.unwrap_or_default()),
        previous_hash: previous_hash.unwrap_or_default(),
        hash: hash.unwrap_or_default(),
        event: event.unwrap_or_default(),
        sound,
    }
}

/// Octets that are no text become one that names no log.
fn text(octets: Octets) -> String {
    String::from_utf8_lossy(&octets.unwrap_or_default()).into_owned()
}

/// Shares the lock that a service takes, if there is one to share.
fn claim(path: &Path) -> Result<Option<File>, StoreError> {
    let lock = beside(path, ".lock");
    if !lock.exists() {
        return Ok(None);
    }
    let lock = File::open(lock)?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// A file with its side files, in a folder that goes away.
#[derive(Debug)]
struct Copied {
    folder: TempDir,
    damaged_wal: bool,
}

/// Copies the file with its side files, if it has any with something in them: SQLite would bring a
/// file up to date, or make files beside it, while it reads them.
fn copied(path: &Path) -> Result<Option<Copied>, StoreError> {
    let filled = |suffix: &&str| {
        let file = beside(path, suffix).metadata();
        file.is_ok_and(|file| file.len() > 0)
    };
    let sides: Vec<_> = [WAL, JOURNAL].into_iter().filter(filled).collect();
    if sides.is_empty() {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join(path.file_name().unwrap_or_default());
    for suffix in sides.iter().chain(&[""]) {
        std::fs::copy(beside(path, suffix), beside(&copy, suffix))?;
    }
    let mut damaged_wal = false;
    if sides.contains(&WAL) {
        // SQLite would end without a word before a frame that is damaged.
        let mut wal = std::fs::read(beside(path, WAL))?;
        damaged_wal = wal::mend(&mut wal);
        std::fs::write(beside(&copy, WAL), wal)?;
    }
    Ok(Some(Copied {
        folder,
        damaged_wal,
    }))
}
