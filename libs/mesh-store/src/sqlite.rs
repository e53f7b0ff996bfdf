//! How is a file of SQLite's opened, and kept from other processes?
//!
//! One process per file: `PATH.lock` is locked (advisory, released by the kernel when the process
//! ends however it ends) for as long as the store is open, and a second process gets
//! [`StoreError::InUse`]. Should two processes get past that (a network file system without locks)
//! nothing is corrupted: `BEGIN IMMEDIATE` lets one write at a time, and the head row is read anew
//! in every transaction. Only the wake-ups of one would not reach the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::StoreError;
use crate::sql::{Conn, Pool};

/// Each is a thread; reads are short, and more of them than cores gain nothing.
const READERS: u32 = 4;
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// An opened file: one connection that writes, some that cannot.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
    /// Open as long as the database is: SQLite removes the `-wal` with its last connection.
    pub(crate) anchor: Conn,
}

/// Opens the file at `path`, which is locked. It is made if it is not there, readable by nobody but
/// the owner.
pub(crate) async fn open(path: &Path) -> Result<Opened, StoreError> {
    private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(LOCK_PATIENCE)
        .foreign_keys(true);
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(LOCK_PATIENCE)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            // SQLite ends a transaction by itself when the disk is full or broken, and sqlx then
            // believes for ever that it goes on: such a connection is replaced.
            .before_acquire(|conn, _| Box::pin(std::future::ready(Ok(!conn.is_in_transaction()))))
    };
    let writer = pool()
        .max_connections(1)
        .connect_with(
            options
                .clone()
                .journal_mode(SqliteJournalMode::Wal)
                // An acknowledged write survives the loss of power.
                .synchronous(SqliteSynchronous::Full),
        )
        .await?;
    let options = options.read_only(true);
    let anchor = options.connect().await?;
    let readers = pool().max_connections(READERS).connect_lazy_with(options);
    Ok(Opened {
        writer: writer.into(),
        readers: readers.into(),
        anchor: anchor.into(),
    })
}

/// The file that `rest`, a URL without its `sqlite:`, names.
pub(crate) fn path(rest: &str) -> Result<PathBuf, StoreError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.contains(":memory:") {
        return Err(StoreError::Url(
            "sqlite://PATH names a file; none in memory",
        ));
    }
    if path.contains(['?', '#']) {
        return Err(StoreError::Url("sqlite://PATH takes no parameters"));
    }
    Ok(PathBuf::from(path))
}

/// Locks the database at `path` until the file that is returned is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let file = private(&beside(path, ".lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The file whose name is that of `path` and `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the file if it is not there. SQLite gives its side files the mode of the main one.
pub(crate) fn private(path: &Path) -> Result<File, std::io::Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has the names in the folder of `path` on the disk.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
