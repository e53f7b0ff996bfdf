//! Into what may a copy be put?

use std::fs::File;
use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::{CopiedTable, fill};
use crate::cursor::{self, Cursor};
use crate::database::Unfit;
use crate::examine::identity;
use crate::log::Head;
use crate::postgres::Server;
use crate::sql::{Conn, query_scalar};
use crate::sqlite::{beside, lock, private, remove, sync_folder};
use crate::witness::Remembered;
use crate::witness::file::{SUFFIX, WitnessFile};
use crate::{StoreError, catalogue};

type Filled = (Vec<CopiedTable>, Vec<Head>);

/// Into the file at `path`, which is not there, with its witness. It appears with all that is in it, or not at
/// all.
pub(super) async fn put_into_file(
    from: &mut Conn,
    path: &Path,
    migrations: &Migrator,
    step: &mut impl FnMut(u64),
) -> Result<Filled, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let _lock = lock(path)?;
    let there = |suffix: &&str| beside(path, suffix).exists();
    if ["", "-wal", SUFFIX].iter().any(there) {
        let database = path.display().to_string();
        return Err(Unfit::NotEmpty { database }.into());
    }
    let new = beside(path, ".copying");
    for suffix in ["", SUFFIX] {
        remove(&beside(&new, suffix))?;
    }
    let filled = into_file(from, &new, migrations, step).await;
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => {
            remove(&new)?;
            return Err(error);
        }
    };
    let remembered = remembered(from, &filled.1).await?;
    WitnessFile::open(&new, &remembered)?.turn().sync_all()?;
    for suffix in ["", SUFFIX] {
        std::fs::rename(beside(&new, suffix), beside(path, suffix))?;
    }
    sync_folder(path)?;
    Ok(filled)
}

/// Into the new file `to`, which is on the disk when this returns. A file that is not empty is an error.
pub(crate) async fn into_file(
    from: &mut Conn,
    to: &Path,
    migrations: &Migrator,
    step: &mut impl FnMut(u64),
) -> Result<Filled, StoreError> {
    let file: File = private(to)?;
    // Nobody opens it before it is finished, so that nothing has to be undone.
    let options = SqliteConnectOptions::new()
        .filename(to)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(true);
    let mut conn = Conn::from(options.connect().await?);
    if !catalogue::names(&mut conn).await?.is_empty() {
        let database = to.display().to_string();
        return Err(Unfit::NotEmpty { database }.into());
    }
    conn.migrate(migrations).await?;
    let mut tx = conn.write().await?;
    let filled = fill(from, &mut tx, step).await?;
    tx.commit().await?;
    conn.close().await?;
    file.sync_all()?;
    sync_folder(to)?;
    Ok(filled)
}

/// Into an empty database on a server, in one transaction.
pub(crate) async fn put_into_server(
    from: &mut Conn,
    server: &Server,
    migrations: &Migrator,
    step: &mut impl FnMut(u64),
) -> Result<Filled, StoreError> {
    let mut conn = server.alone_to_write().await?;
    let mut tx = conn.write().await?;
    if !catalogue::names(&mut tx).await?.is_empty() && !is_prepared(&mut tx).await? {
        let database = server.to_string();
        return Err(Unfit::NotEmpty { database }.into());
    }
    tx.migrate(migrations).await?;
    let filled = fill(from, &mut tx, step).await?;
    tx.commit().await?;
    conn.close().await?;
    Ok(filled)
}

/// Whether there are the tables of a service, and no service has ever opened them.
pub(crate) async fn is_prepared(conn: &mut Conn) -> Result<bool, StoreError> {
    if !catalogue::names(conn).await?.contains("database_identity") {
        return Ok(false);
    }
    let opened: bool = query_scalar(
        "SELECT EXISTS (SELECT 1 FROM database_identity) OR EXISTS (SELECT 1 FROM log_head)",
    )
    .fetch_one(conn)
    .await?;
    Ok(!opened)
}

/// What is to be remembered of a database whose logs end at `heads`.
pub(crate) async fn remembered(from: &mut Conn, heads: &[Head]) -> Result<Remembered, StoreError> {
    let (identity, pulse) = identity(from).await?;
    let nameless = || StoreError::inconsistent("database_identity", "the database has no name");
    let logs = heads
        .iter()
        .map(|head| (head.position.log.clone(), Cursor::from(head)));
    Ok(Remembered {
        identity: identity.ok_or_else(nameless)?,
        pulse,
        wal: None,
        logs: logs.collect(),
        cursors: cursor::all(from).await?,
        claims: Vec::new(),
    })
}
