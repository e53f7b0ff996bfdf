//! How fast can SQLite commit on this disk, with nothing of the mesh around it?

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{QueryBuilder, Sqlite};

use crate::turn::{Side, Turn, keep_in_flight};

/// The octets of an event of the log `flags`, about.
const EVENT: [u8; 640] = [0xA5; 640];
/// The octets of a hash.
const HASH: [u8; 32] = [0x5A; 32];

/// Commits rows like those of a log, one transaction after another, each of them to disk.
#[derive(Clone)]
pub(crate) struct Commits {
    pool: SqlitePool,
    rows: usize,
}

impl Commits {
    /// Opens a database of its own in `folder`, as the services open theirs, to commit so many rows
    /// at a time.
    pub(crate) async fn open(folder: &Path, rows: usize) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join(format!("bench-{rows}.db")))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS log (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL, event BLOB NOT NULL)")
            .execute(&pool)
            .await?;
        Ok(Self { pool, rows })
    }

    /// The rows of one transaction, on disk when it is over.
    pub(crate) async fn commit(&self) -> Result<()> {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO log (hash, event) ");
        insert.push_values(0..self.rows, |mut row, _| {
            row.push_bind(HASH.as_slice()).push_bind(EVENT.as_slice());
        });
        let mut tx = self.pool.begin().await?;
        insert.build().execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

impl Side for Commits {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let commits = self.clone();
        let turn = keep_in_flight(1, time, move |_| {
            let commits = commits.clone();
            async move { commits.commit().await.map(ControlFlow::Continue) }
        });
        Ok(turn.await?.of_units(u64::try_from(self.rows)?))
    }
}
