//! What is a connection, a pool of them and a transaction, whichever engine it is?

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{
    Connection as _, Database, PgConnection, PgPool, Postgres, SqlSafeStr as _, Sqlite,
    SqliteConnection, SqlitePool,
};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::migrations::for_postgres;
use crate::StoreError;
use crate::presence::Presence;

/// How long a connection may take to come back; then the pool opens another.
const RETURN: Duration = Duration::from_secs(5);

/// One connection, wherever it comes from.
#[derive(Debug)]
pub struct Conn(pub(super) Engine);

/// Which engine it is.
pub(super) enum Engine {
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>, Presence),
}

/// Whose a connection is.
pub(super) enum Held<Db: Database> {
    Lent(PoolConnection<Db>, Fate),
    Owned(Db::Connection),
}

/// What becomes of a connection that was lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    GoesBack,
    /// A transaction may have begun on it that sqlx does not know of, and would not undo.
    IsClosed,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres(..) => "Postgres",
        })
    }
}

impl<Db: Database> Held<Db> {
    /// Decides what becomes of it when it is given up, and returns what was decided before.
    fn settle(&mut self, decided: Fate) -> Fate {
        match self {
            Self::Lent(_, fate) => std::mem::replace(fate, decided),
            Self::Owned(_) => Fate::GoesBack,
        }
    }
}

impl<Db: Database> Deref for Held<Db> {
    type Target = Db::Connection;

    fn deref(&self) -> &Db::Connection {
        match self {
            Self::Lent(conn, _) => conn,
            Self::Owned(conn) => conn,
        }
    }
}

impl<Db: Database> DerefMut for Held<Db> {
    fn deref_mut(&mut self) -> &mut Db::Connection {
        match self {
            Self::Lent(conn, _) => conn,
            Self::Owned(conn) => conn,
        }
    }
}

impl From<SqliteConnection> for Conn {
    fn from(conn: SqliteConnection) -> Self {
        Self(Engine::Sqlite(Held::Owned(conn)))
    }
}

impl From<PgConnection> for Conn {
    fn from(conn: PgConnection) -> Self {
        Self(Engine::Postgres(Held::Owned(conn), Presence::assumed()))
    }
}

impl Conn {
    /// The text for the engine of this connection, where one alone does not do.
    pub(crate) const fn by_engine(
        &self,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> &'static str {
        match &self.0 {
            Engine::Sqlite(_) => sqlite,
            Engine::Postgres(..) => postgres,
        }
    }

    /// Brings the schema up to date.
    pub(crate) async fn migrate(&mut self, migrations: &Migrator) -> Result<(), StoreError> {
        match &mut self.0 {
            Engine::Sqlite(conn) => migrations.run_direct(None, &mut **conn, false).await?,
            Engine::Postgres(conn, _) => {
                let migrations = for_postgres(migrations);
                migrations.run_direct(None, &mut **conn, false).await?;
            }
        }
        Ok(())
    }

    /// A transaction on this connection, whose reads all see one committed state.
    pub async fn snapshot(&mut self) -> Result<InTx<&mut Self>, StoreError> {
        InTx::begin(self, Begin::Snapshot).await
    }

    /// A transaction on this connection that holds the lock of the writers.
    pub(crate) async fn write(&mut self) -> Result<InTx<&mut Self>, StoreError> {
        InTx::begin(self, Begin::Write).await
    }

    /// Ends an own connection in good order; one that was lent goes back.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self.0 {
            Engine::Sqlite(Held::Owned(conn)) => conn.close().await?,
            Engine::Postgres(Held::Owned(conn), _) => conn.close().await?,
            Engine::Sqlite(_) | Engine::Postgres(..) => {}
        }
        Ok(())
    }
}

/// A connection that goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct Lent(Conn);

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl Drop for Lent {
    /// What its borrower has left unread is read first. That must not take for ever, as a pool has few to lend.
    fn drop(&mut self) {
        let Engine::Postgres(Held::Lent(conn, fate), _) = &mut self.0.0 else {
            return;
        };
        if *fate == Fate::IsClosed {
            conn.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            let returned = conn.return_to_pool();
            runtime.spawn(async move { timeout(RETURN, returned).await });
        }
    }
}

/// Connections to lend. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    pools: Pools,
    /// Where the time is noted that a connection is waited for, if it is.
    waits: Arc<OnceLock<(Histogram<f64>, [KeyValue; 2])>>,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolUse {
    pub(crate) idle: u32,
    pub(crate) used: u32,
    pub(crate) max: u32,
}

#[derive(Clone)]
enum Pools {
    Sqlite(SqlitePool),
    Postgres(PgPool, Presence),
}

impl fmt::Debug for Pools {
    /// Without the options, which hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres(..) => "Postgres",
        })
    }
}

impl From<SqlitePool> for Pool {
    fn from(pool: SqlitePool) -> Self {
        Self::of(Pools::Sqlite(pool))
    }
}

/// Takes the lock of the writers for a session, if nobody has it. It is that of [`Begin::Write`].
pub(crate) const LOCK_WRITERS_OUT: &str = "SELECT pg_try_advisory_lock(7076457)";

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It holds the lock under which one transaction at a time writes: what it reads, nobody changes until
    /// it ends.
    Write,
    /// All that it reads is one committed state.
    Snapshot,
}

impl Begin {
    const fn on_sqlite(self) -> &'static str {
        match self {
            // A transaction that reads first and writes later could find that another has written between.
            Self::Write => "BEGIN IMMEDIATE",
            Self::Snapshot => "BEGIN DEFERRED",
        }
    }

    const fn on_postgres(self) -> &'static str {
        match self {
            // In one round trip. The number says nothing; every process has the same.
            Self::Write => "BEGIN; SELECT pg_advisory_xact_lock(7076457)",
            Self::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

impl Pool {
    /// Connections to a server, of which `presence` knows whether it answers.
    pub(crate) fn on_server(pool: PgPool, presence: Presence) -> Self {
        Self::of(Pools::Postgres(pool, presence))
    }

    fn of(pools: Pools) -> Self {
        Self {
            pools,
            waits: Arc::default(),
        }
    }

    /// Notes from now on the time that a connection is waited for.
    pub(crate) fn measure_waits(&self, waits: Histogram<f64>, labels: &[KeyValue; 2]) {
        // Somebody who says it twice says the same.
        let _ = self.waits.set((waits, labels.clone()));
    }

    /// How many connections there are now.
    pub(crate) fn usage(&self) -> PoolUse {
        let (open, idle, max) = match &self.pools {
            Pools::Sqlite(pool) => {
                let max = pool.options().get_max_connections();
                (pool.size(), pool.num_idle(), max)
            }
            Pools::Postgres(pool, _) => {
                let max = pool.options().get_max_connections();
                (pool.size(), pool.num_idle(), max)
            }
        };
        // The two numbers are not of one instant.
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        let used = open - idle;
        PoolUse { idle, used, max }
    }

    /// A connection, once there is one to lend.
    pub async fn acquire(&self) -> Result<Lent, StoreError> {
        let since = Instant::now();
        let lent = self.lend().await;
        if let Some((waits, labels)) = self.waits.get() {
            waits.record(since.elapsed().as_secs_f64(), labels);
        }
        lent
    }

    async fn lend(&self) -> Result<Lent, StoreError> {
        let engine = match &self.pools {
            Pools::Sqlite(pool) => {
                let lent = pool.acquire().await?;
                Engine::Sqlite(Held::Lent(lent, Fate::GoesBack))
            }
            Pools::Postgres(pool, presence) => {
                presence.check()?;
                let lent = async {
                    let lent = pool.acquire().await;
                    lent.map_err(|error| no_connection(pool, error))
                };
                let lent = Held::Lent(presence.during(lent).await?, Fate::GoesBack);
                Engine::Postgres(lent, presence.clone())
            }
        };
        Ok(Lent(Conn(engine)))
    }

    /// A transaction on a connection of its own.
    pub(crate) async fn begin(&self, how: Begin) -> Result<Tx, StoreError> {
        InTx::begin(self.acquire().await?, how).await
    }

    /// Waits until every connection has come back, and closes them.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite(pool) => pool.close().await,
            Pools::Postgres(pool, _) => pool.close().await,
        }
    }
}

/// Nobody has a connection while the server cannot be reached: that none came in time says so then, and else
/// that all were in use.
fn no_connection(pool: &PgPool, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut if pool.size() == 0 => {
            StoreError::Unavailable(Arc::new(sqlx::Error::PoolTimedOut))
        }
        error => error.into(),
    }
}

/// A transaction on a connection of its own.
pub type Tx = InTx<Lent>;

type SqliteManager = <Sqlite as Database>::TransactionManager;
type PgManager = <Postgres as Database>::TransactionManager;

/// A transaction on the connection `C`. Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct InTx<C: DerefMut<Target = Conn>> {
    conn: C,
    open: bool,
}

impl<C: DerefMut<Target = Conn>> Deref for InTx<C> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl<C: DerefMut<Target = Conn>> DerefMut for InTx<C> {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl<C: DerefMut<Target = Conn>> InTx<C> {
    async fn begin(mut conn: C, how: Begin) -> Result<Self, StoreError> {
        match &mut conn.0 {
            Engine::Sqlite(conn) => {
                let begin = how.on_sqlite().into_sql_str();
                SqliteManager::begin(conn, Some(begin)).await?;
            }
            Engine::Postgres(held, presence) => {
                let begin = how.on_postgres().into_sql_str();
                // Whoever waits may leave, and a server may refuse the lock after BEGIN: the next user of the
                // connection would read what was committed before it, or hold the lock of the writers.
                let fate = held.settle(Fate::IsClosed);
                let begun = async { Ok(PgManager::begin(held, Some(begin)).await?) };
                presence.during(begun).await?;
                held.settle(fate);
            }
        }
        Ok(Self { conn, open: true })
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        match &mut self.conn.0 {
            Engine::Sqlite(conn) => SqliteManager::commit(conn).await?,
            Engine::Postgres(conn, presence) => {
                let committed = async { Ok(PgManager::commit(conn).await?) };
                presence.during(committed).await?;
            }
        }
        self.open = false;
        Ok(())
    }

    /// Ends it, and leaves nothing behind.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        match &mut self.conn.0 {
            Engine::Sqlite(conn) => SqliteManager::rollback(conn).await?,
            Engine::Postgres(conn, presence) => {
                let undone = async { Ok(PgManager::rollback(conn).await?) };
                presence.during(undone).await?;
            }
        }
        self.open = false;
        Ok(())
    }
}

impl<C: DerefMut<Target = Conn>> Drop for InTx<C> {
    fn drop(&mut self) {
        if self.open {
            match &mut self.conn.0 {
                Engine::Sqlite(conn) => SqliteManager::start_rollback(conn),
                Engine::Postgres(conn, _) => PgManager::start_rollback(conn),
            }
        }
    }
}
