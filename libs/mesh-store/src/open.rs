//! Which database does a URL name, and is its schema the one that this program knows?

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mesh_types::{Clock, ClockWatch, ManualClock, Timestamp};
use sqlx::Transaction;
use sqlx::migrate::{Migration, Migrator};
use tokio::sync::watch;

use crate::condition::{Gate, Trouble};
use crate::keeping::Keeper;
use crate::sqlite::{self, Db, Pool};
use crate::tx::Times;
use crate::{Committed, Condition, StoreError, Tokens, WriteTx, log};

/// Versions below are the library's; a service numbers its migrations from here on.
pub(crate) const FIRST_SERVICE_VERSION: i64 = 1000;

pub(crate) static LIBRARY: Migrator = sqlx::migrate!("./migrations");

/// An open database, shared by cloning.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Pool,
    readers: Pool,
    committed: Committed,
    tokens: Tokens,
    keeper: Keeper,
    gate: Gate,
    /// The latest time of a write transaction, in microseconds.
    latest: AtomicI64,
    _lock: File,
}

impl Store {
    /// Opens the database that `url` names and brings its schema up to date.
    ///
    /// `sqlite://PATH` (`sqlite:///var/lib/x.db` is absolute) makes the file and its folder if
    /// they are not there; only one process may have it open. `migrations` are the service's own,
    /// `sqlx::migrate!()` over files numbered from 1000 on (`migrations/1000_flags.sql`); the
    /// library's run before them. A `build.rs` that prints `cargo:rerun-if-changed=migrations`
    /// makes cargo notice a file that is added.
    ///
    /// A database with a migration that this program does not know, or knows differently, is
    /// refused unchanged: [`StoreError::Migration`].
    pub async fn open(url: &str, migrations: &Migrator) -> Result<Self, StoreError> {
        let opened = match url.split_once(':') {
            Some(("sqlite", rest)) => sqlite::open(rest).await?,
            Some((scheme, _)) => {
                return Err(StoreError::UnsupportedEngine {
                    scheme: scheme.to_owned(),
                });
            }
            None => return Err(StoreError::Url("a URL begins with its scheme")),
        };
        let mut conn = opened.writer.acquire().await?;
        merged(migrations)?
            .run_direct(None, &mut *conn, false)
            .await?;
        let tokens = Tokens::load(&mut conn).await?;
        let keeper = Keeper::load(&mut conn).await?;
        drop(conn);
        let store = Self(Arc::new(Inner {
            writer: opened.writer,
            readers: opened.readers,
            committed: Committed::default(),
            tokens,
            keeper,
            gate: Gate::default(),
            latest: AtomicI64::new(i64::MIN),
            _lock: opened.lock,
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
    pub async fn snapshot(&self) -> Result<Transaction<'static, Db>, StoreError> {
        Ok(self.0.readers.begin_with(sqlite::BEGIN_SNAPSHOT).await?)
    }

    /// A write transaction outside the [`Writer`](crate::Writer), for what happens once at start.
    ///
    /// Refused while the database is in [`Trouble`](crate::Trouble).
    pub async fn begin_write(&self, now: Timestamp) -> Result<WriteTx, StoreError> {
        self.begin_write_by(&ManualClock::new(now)).await
    }

    /// A write transaction with the time that `clock` shows once it has the write lock. In one
    /// process that time never goes back, whatever the clock does: what was known at a time that is
    /// over stays as it is (see `docs/adr/2026-11-24-what-was-known-at-a-time-is-final.md`).
    ///
    /// Refused while the clock is not believed.
    pub(crate) async fn begin_write_by(&self, clock: &dyn Clock) -> Result<WriteTx, StoreError> {
        let tx = self.0.writer.begin_with(sqlite::BEGIN_WRITE).await?;
        self.0.gate.check()?;
        let shown = clock.now();
        if let Some(doubt) = clock.doubt() {
            return Err(StoreError::ClockNotBelieved(doubt));
        }
        let keeping = self.0.keeper.keeping(shown);
        let latest = self.0.latest.fetch_max(shown.micros(), Ordering::SeqCst);
        let now = shown.max(Timestamp::from_micros(latest));
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
            self.0.gate.clone(),
            self.0.committed.clone(),
        ))
    }

    /// Forgets some of the answers that have expired. Says whether there are more.
    pub(crate) async fn tend(&self, clock: &dyn Clock) -> Result<bool, StoreError> {
        self.begin_write_by(clock).await?.commit().await?;
        Ok(self.0.keeper.has_more())
    }

    /// Whether the database can be written to, and wakes when that changes.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.0.gate.watch()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Says that the service has found its rows to contradict its log: nothing more is written on the
    /// strength of them.
    pub fn found_damaged(&self) {
        self.gate().raise(Trouble::Damaged);
    }

    /// Wakes on commits of this process.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        &self.0.committed
    }

    /// Reads all heads and wakes those who wait for what other replicas have committed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut conn = self.0.readers.acquire().await?;
        for head in log::heads(&mut conn, "").await? {
            let position = head.position;
            self.0.committed.publish(&position.log, position.sequence);
        }
        Ok(())
    }

    /// Makes and checks page tokens; all replicas on one database share their secret.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Waits until every connection has come back, and closes them. The file stays locked until
    /// the last clone of the store is gone.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}

/// One set out of the library's migrations and the service's, so that one check and one table
/// decide about both (see `docs/adr/2026-11-23-library-migrations.md`).
fn merged(service: &Migrator) -> Result<Migrator, StoreError> {
    let all: Vec<Migration> = LIBRARY.iter().chain(service.iter()).cloned().collect();
    let mut versions = HashSet::new();
    let distinct = all
        .iter()
        .all(|migration| versions.insert(migration.version));
    let apart = service
        .iter()
        .all(|migration| migration.version >= FIRST_SERVICE_VERSION);
    if distinct && apart {
        Ok(Migrator::with_migrations(all))
    } else {
        Err(StoreError::inconsistent(
            "_sqlx_migrations",
            "a service numbers its migrations from 1000 on, each once",
        ))
    }
}
