//! How fast can the mesh's engine commit on this disk, with nothing of the mesh around it?

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use mesh_store::Database;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Encode, Postgres, QueryBuilder, Sqlite, Type};

use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// The octets of an event of the log `flags`, about.
const EVENT: &[u8] = &[0xA5; 640];
/// The octets of a hash.
const HASH: &[u8] = &[0x5A; 32];

/// Commits rows like those of a log, one transaction after another, each of them to disk.
#[derive(Clone)]
pub(crate) struct Commits {
    pool: Pool,
    rows: usize,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Commits {
    /// Opens a database of its own beside the town's, as the services open theirs, to commit so many rows
    /// at a time.
    pub(crate) async fn open(town: &Town, rows: usize) -> Result<Self> {
        let Database { url, .. } = town.database_beside(&format!("bench-{rows}")).await?;
        let pool = if url.starts_with("sqlite:") {
            Pool::Sqlite(sqlite(&url).await?)
        } else {
            Pool::Postgres(postgres(&url).await?)
        };
        Ok(Self { pool, rows })
    }

    /// The rows of one transaction, on disk when it is over.
    pub(crate) async fn commit(&self) -> Result<()> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin().await?;
                insert::<Sqlite>(self.rows)
                    .build()
                    .execute(&mut *tx)
                    .await?;
                tx.commit().await?;
            }
            // A statement alone is a transaction: one way to the server and back.
            Pool::Postgres(pool) => {
                insert::<Postgres>(self.rows).build().execute(pool).await?;
            }
        }
        Ok(())
    }
}

async fn sqlite(url: &str) -> Result<SqlitePool> {
    let options = url
        .parse::<SqliteConnectOptions>()?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS log (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL, event BLOB NOT NULL)")
        .execute(&pool)
        .await?;
    Ok(pool)
}

async fn postgres(url: &str) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(url).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS log (sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash BYTEA NOT NULL, event BYTEA NOT NULL)")
        .execute(&pool)
        .await?;
    Ok(pool)
}

fn insert<Db>(rows: usize) -> QueryBuilder<Db>
where
    Db: sqlx::Database,
    &'static [u8]: Encode<'static, Db> + Type<Db>,
{
    let mut insert = QueryBuilder::new("INSERT INTO log (hash, event) ");
    insert.push_values(0..rows, |mut row, _| {
        row.push_bind(HASH).push_bind(EVENT);
    });
    insert
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
