//! Which database does a URL name, and is its schema the one that this program knows?

mod file;
mod server;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesh_types::{Clock, ClockWatch, ManualClock, Timestamp};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ahead::most_ahead;
use crate::attend::{Attendant, Attended};
use crate::away::Lookout;
use crate::check::damage;
use crate::condition::Condition;
use crate::guard::Guard;
use crate::hints::Hints;
use crate::keeping::Keeper;
use crate::meters::Meters;
use crate::postgres::Server;
use crate::replicas::Replica;
use crate::schema::{Schema, found, merged};
use crate::sql::{Begin, Conn, Pool, Tx};
use crate::sqlite;
use crate::trouble::Trouble;
use crate::tx::Times;
use crate::{Committed, Database, StoreError, Tokens, WriteTx, last_time};

#[cfg(test)]
pub(crate) use file::without_finished_wal;

/// An open database, shared by cloning.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

/// An open database, for as long as somebody else has it open.
#[derive(Debug, Clone)]
pub(crate) struct WeakStore(Weak<Inner>);

impl WeakStore {
    pub(crate) fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PoolRole {
    Writer,
    Readers,
}

impl PoolRole {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Readers => "readers",
        }
    }
}

#[derive(Debug)]
struct Inner {
    place: Place,
    writer: Pool,
    readers: Pool,
    guard: Arc<Guard>,
    attendant: Attendant,
    committed: Committed,
    tokens: Tokens,
    keeper: Keeper,
    replica: Replica,
    /// The schema that this program knows.
    migrations: Migrator,
    meters: Meters,
    /// The latest time of a write transaction, in microseconds. On a server the database has it.
    latest: AtomicI64,
}

/// Where an open database is, and what only such a place has.
#[derive(Debug)]
enum Place {
    /// In a file, which is this process's alone.
    File {
        path: PathBuf,
        /// Open as long as the database is: SQLite removes the `-wal` with its last connection.
        anchor: Mutex<Option<Conn>>,
        _lock: File,
    },
    /// On a server, which other processes use, too.
    Server,
}

/// A database that was opened, with the schema that this program knows.
struct Opened {
    writer: Pool,
    readers: Pool,
    guard: Arc<Guard>,
    place: Place,
    /// For what processes on one server tell one another.
    hints: Option<PgPool>,
    lookout: Option<Lookout>,
}

impl Drop for Inner {
    /// Before the lock is given up: the witness belongs to whoever has it.
    fn drop(&mut self) {
        self.attendant.stop();
        self.guard.beside.stop();
    }
}

impl Store {
    /// Opens a database and brings its schema up to date.
    ///
    /// `sqlite://PATH` (`sqlite:///var/lib/x.db` is absolute) names a file; only one process may have
    /// it open. Before anything in it is touched it is compared with the witness beside it, and its
    /// last events with their hashes: one that is missing, empty, replaced, damaged or older than it
    /// was is refused as it stands, [`StoreError::Unfit`]. With the leave to make one
    /// ([`Database::create`]) the file and its folder are made, if there never was one.
    ///
    /// `migrations` are the service's own, `sqlx::migrate!()` over files numbered from 1000 on
    /// (`migrations/1000_flags.sql`); the library's run before them. A `build.rs` that prints
    /// `cargo:rerun-if-changed=migrations` makes cargo notice a file that is added. A database with a
    /// migration that this program does not know, or knows differently, is refused unchanged:
    /// [`StoreError::Migration`].
    ///
    /// `postgres://USER@HOST:PORT/DATABASE` names a database on a server, which any number of processes may
    /// have open; `?sslmode=verify-full` and the like say how TLS is used. A server that would lose what it
    /// has acknowledged, or that can only be read, is refused: [`Unfit::Server`].
    ///
    /// [`Unfit::Server`]: crate::Unfit::Server
    pub async fn open(database: &Database, migrations: &Migrator) -> Result<Self, StoreError> {
        let migrations = merged(migrations)?;
        let create = database.create;
        let opened = match database.url.split_once(':') {
            Some(("sqlite", rest)) => file::open(&sqlite::path(rest)?, create, &migrations).await?,
            Some(("postgres" | "postgresql", _)) => {
                server::open(&Server::of(&database.url)?, create, &migrations).await?
            }
            Some((scheme, _)) => {
                let scheme = scheme.to_owned();
                return Err(StoreError::UnsupportedEngine { scheme });
            }
            None => return Err(StoreError::Url("a URL begins with its scheme")),
        };
        Self::of(opened, migrations).await
    }

    async fn of(opened: Opened, migrations: Migrator) -> Result<Self, StoreError> {
        let Opened {
            writer,
            readers,
            guard,
            place,
            hints,
            lookout,
        } = opened;
        let mut conn = writer.acquire().await?;
        let tokens = Tokens::load(&mut conn).await?;
        let keeper = Keeper::load(&mut conn).await?;
        let replica = Replica::enter(&mut conn, place.is_shared()).await?;
        drop(conn);
        let committed = Committed::default();
        let attendant = Attendant::start(Attended {
            file: place.file().cloned(),
            writer: writer.clone(),
            readers: readers.clone(),
            guard: Arc::clone(&guard),
            committed: committed.clone(),
            replica: replica.clone(),
            hints: hints.map(|pool| Hints::new(pool, replica.clone())),
            lookout,
        });
        let store = Self(Arc::new(Inner {
            place,
            writer,
            readers,
            guard,
            attendant,
            committed,
            tokens,
            keeper,
            replica,
            migrations,
            meters: Meters::default(),
            latest: AtomicI64::new(i64::MIN),
        }));
        store.refresh().await?;
        Ok(store)
    }

    /// Connections that only read. Each statement sees what was committed when it began; several
    /// that must agree read versioned rows at one position, or share a
    /// [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn readers(&self) -> &Pool {
        &self.0.readers
    }

    /// A transaction whose reads all see one committed state. Keep it short: never across a
    /// stream.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        self.0.readers.begin(Begin::Snapshot).await
    }

    /// A write transaction outside the [`Writer`](crate::Writer), for what happens once at start.
    ///
    /// Refused while the database is in [`Trouble`](crate::Trouble).
    pub async fn begin_write(&self, now: Timestamp) -> Result<WriteTx, StoreError> {
        self.begin_write_by(&ManualClock::new(now)).await
    }

    /// A write transaction with the time that `clock` shows once it has the write lock. That time never goes
    /// back, whatever the clock does and whichever process on a server it is: what was known at a time that is
    /// over stays as it is (see `docs/adr/2026-11-24-what-was-known-at-a-time-is-final.md`). Only a
    /// watched clock that was far ahead takes its time back: the logs go on after their last events all
    /// the same.
    ///
    /// Refused while the clock is not believed.
    pub(crate) async fn begin_write_by(&self, clock: &dyn Clock) -> Result<WriteTx, StoreError> {
        let mut tx = self.0.writer.begin(Begin::Write).await?;
        self.0.guard.gate.check()?;
        let shown = clock.now();
        if let Some(doubt) = clock.doubt() {
            return Err(StoreError::ClockNotBelieved(doubt));
        }
        let keeping = self.0.keeper.keeping(shown);
        // What is further ahead of a watched clock was believed before others were heard, and has been put right.
        let most = match clock.watch() {
            Some(_) => most_ahead(shown),
            None => Timestamp::FOREVER,
        };
        let now = if self.is_shared() {
            last_time::reach(&mut tx, shown, most).await?
        } else {
            self.reach(shown, most)
        };
        let may_be_ahead = clock.watch().is_none_or(ClockWatch::is_accepted);
        let times = Times {
            shown,
            now,
            may_be_ahead,
        };
        Ok(WriteTx::new(
            tx,
            times,
            keeping,
            Arc::clone(&self.0.guard),
            self.0.committed.clone(),
        ))
    }

    /// The time of a transaction of the only process, which has the write lock.
    fn reach(&self, shown: Timestamp, most: Timestamp) -> Timestamp {
        let latest = self.0.latest.fetch_max(shown.micros(), Ordering::SeqCst);
        let latest = Timestamp::from_micros(latest);
        if latest > most {
            self.0.latest.store(shown.micros(), Ordering::SeqCst);
            return shown;
        }
        shown.max(latest)
    }

    /// Forgets some of the answers that have expired. Says whether there are more.
    pub(crate) async fn tend(&self, clock: &dyn Clock) -> Result<bool, StoreError> {
        self.begin_write_by(clock).await?.commit().await?;
        Ok(self.0.keeper.has_more())
    }

    /// Whether the database can be written to, and wakes when that changes.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.0.guard.gate.watch()
    }

    /// The schema of the database as it is now: another program may have changed it since it was opened.
    pub async fn schema(&self, conn: &mut Conn) -> Result<Schema, StoreError> {
        found(conn, self.migrations()).await
    }

    pub(crate) fn pool(&self, role: PoolRole) -> &Pool {
        match role {
            PoolRole::Writer => &self.0.writer,
            PoolRole::Readers => &self.0.readers,
        }
    }

    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    pub(crate) fn own_replica(&self) -> &Replica {
        &self.0.replica
    }

    pub(crate) fn migrations(&self) -> &Migrator {
        &self.0.migrations
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Says that the service has found its rows to contradict its log: nothing more is written on the
    /// strength of them.
    pub fn found_damaged(&self) {
        self.0.guard.gate.raise(Trouble::Damaged);
    }

    /// Looks at all of the database file now, table by table until `stop` is cancelled: whether it is whole.
    /// What is found stops all writing.
    pub async fn check_file(&self, stop: &CancellationToken) -> Result<bool, StoreError> {
        let Some(file) = self.0.place.file() else {
            return Err(StoreError::NotOnServer("no file of a database is checked"));
        };
        match damage(file, stop).await? {
            None => Ok(true),
            Some(damage) => {
                tracing::error!(damage, "the database file was checked and is damaged");
                self.found_damaged();
                Ok(false)
            }
        }
    }

    /// Wakes on commits of this process.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        &self.0.committed
    }

    /// Reads all heads and wakes those who wait for what other replicas have committed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut conn = self.0.readers.acquire().await?;
        self.0.committed.refresh(&mut conn).await
    }

    /// Makes and checks page tokens; all replicas on one database share their secret.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Has nobody look after the database any more, so that a test can change it behind the store's back and
    /// see what else notices.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) async fn leave_alone(&self) {
        self.0.attendant.ended().await;
    }

    /// Waits until every connection has come back, closes them, and has the last word of the witness
    /// on the disk. The file stays locked until the last clone of the store is gone.
    pub async fn close(&self) {
        self.0.attendant.ended().await;
        if let Err(error) = self.0.replica.leave(&self.0.writer).await {
            // The others notice after a while.
            tracing::debug!(%error, "nobody can be told that this process leaves");
        }
        if let Place::File { anchor, .. } = &self.0.place {
            let anchor = anchor.lock();
            let anchor = anchor.unwrap_or_else(PoisonError::into_inner).take();
            if let Some(anchor) = anchor
                && let Err(error) = anchor.close().await
            {
                tracing::warn!(%error, "a connection to the database did not end well");
            }
        }
        if let Err(error) = self.0.guard.write_down(&self.0.writer).await {
            tracing::warn!(%error, "what was said of a log could not be written down");
        }
        self.0.readers.close().await;
        self.0.writer.close().await;
        let guard = &self.0.guard;
        guard.note(guard.beside.close());
    }
}

impl Place {
    const fn is_shared(&self) -> bool {
        matches!(self, Self::Server)
    }

    const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Server => None,
        }
    }
}
