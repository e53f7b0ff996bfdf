//! The conformance suite on SQLite, and what only SQLite has: one file and one process.

use std::error::Error as _;

use mesh_types::Timestamp;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::conformance::{Checked, Database};
use crate::sql::{query, query_scalar};
use crate::{Migrator, Store, StoreError, Unfit};

fn fresh() -> Database {
    let folder = tempfile::tempdir().unwrap();
    Database {
        url: url(&folder, "new/folder/store.db"),
        keep: Box::new(folder),
    }
}

fn url(folder: &tempfile::TempDir, file: &str) -> String {
    format!("sqlite://{}", folder.path().join(file).display())
}

fn database(folder: &tempfile::TempDir) -> crate::Database {
    crate::Database::existing_or_new(url(folder, "store.db"))
}

fn no_migrations() -> Migrator {
    Migrator::with_migrations(Vec::new())
}

mod attacks;
mod copying;
mod cut_off;
mod disputes;
mod full_disk;
mod hints;
mod other_server;
mod postgres;

mod suite {
    crate::conformance!(super::fresh);
}

/// csp-notification has a log for each CSP.
#[tokio::test]
async fn a_database_remembers_as_many_logs_as_there_are() -> Checked {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let at = Timestamp::from_micros(1);
    for number in 0..400 {
        let log = format!("csp/{number}").parse()?;
        let mut tx = store.begin_write(at).await?;
        tx.create_log(&log, crate::log::random_epoch()).await?;
        tx.lock(&log).await?;
        tx.append(&log, |_| vec![1])?;
        tx.commit().await?;
    }
    store.close().await;
    drop(store);
    // Whoever reads it finds all of them.
    let earlier = folder.path().join("store.db");
    let copy = std::fs::read(&earlier)?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let last = "csp/399".parse()?;
    let mut tx = store.begin_write(at).await?;
    tx.lock(&last).await?;
    tx.append(&last, |_| vec![2])?;
    tx.commit().await?;
    store.close().await;
    drop(store);
    std::fs::write(&earlier, copy)?;
    let older = Store::open(&database(&folder), &no_migrations()).await;
    let said = older.map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("csp/399 was at event 2"), "{said}");
    Ok(())
}

#[tokio::test]
async fn urls_that_name_no_file_are_refused() {
    for (url, expected) in [
        ("postgres://user:secret@host", "DATABASE"),
        ("mysql://host/db", "\"mysql\""),
        ("store.db", "scheme"),
        ("sqlite://", "names a file"),
        ("sqlite::memory:", "names a file"),
        ("sqlite://store.db?mode=ro", "no parameters"),
    ] {
        let database = crate::Database::existing_or_new(url);
        let error = Store::open(&database, &no_migrations()).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_file_has_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let url = database(&folder);
    let store = Store::open(&url, &no_migrations()).await.unwrap();
    let second = Store::open(&url, &no_migrations()).await;
    assert!(matches!(second, Err(StoreError::InUse)), "{second:?}");
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&url, &no_migrations()).await.is_err());
    clone.close().await;
    drop(clone);
    Store::open(&url, &no_migrations()).await.unwrap();
}

#[tokio::test]
async fn a_commit_is_synced_and_references_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&database(&folder), &no_migrations())
        .await
        .unwrap();
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
    for (pragma, expected) in [
        (
            "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
            "2",
        ),
        (
            "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys",
            "1",
        ),
        ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
    ] {
        let value: String = query_scalar(pragma).fetch_one(tx.conn()).await.unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(&database(&folder), &no_migrations())
        .await
        .unwrap();
    for file in [
        "store.db",
        "store.db-wal",
        "store.db-shm",
        "store.db.lock",
        "store.db.witness",
    ] {
        let mode = folder
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// SQLite rolls a transaction back by itself when the disk is full. Once there is room again the
/// store must write again, without a new start of the process.
#[tokio::test]
async fn a_full_disk_fails_writes_only_while_it_is_full() -> Checked {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let log = "kept".parse()?;
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    tx.create_log(&log, crate::log::random_epoch()).await?;
    tx.commit().await?;
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
    // Never below the present size: the file stays as it is and cannot grow. Holds for this
    // connection.
    query("PRAGMA max_page_count = 1")
        .execute(tx.conn())
        .await?;
    tx.rollback().await?;
    let write = async || -> Result<(), StoreError> {
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
        tx.lock(&log).await?;
        tx.append(&log, |_| vec![0; 1 << 20])?;
        tx.commit().await
    };
    let full = write().await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    write().await?;
    let head = crate::verify::verify(store.readers(), &log).await??;
    assert_eq!(head.position.sequence, 1);
    Ok(())
}

/// What a process that dies leaves behind is what stands in its files: their copy, taken right
/// after an answer, holds what was answered.
#[tokio::test]
async fn what_was_acknowledged_survives_the_process() -> Checked {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let log = "kept".parse()?;
    for sequence in 1..=5 {
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
        tx.create_log(&log, crate::log::random_epoch()).await?;
        tx.lock(&log).await?;
        tx.append(&log, |_| b"event".to_vec())?;
        tx.commit().await?;

        let copy = tempfile::tempdir()?;
        for file in ["store.db", "store.db-wal"] {
            std::fs::copy(folder.path().join(file), copy.path().join(file))?;
        }
        let survivor = Store::open(&database(&copy), &no_migrations()).await?;
        let head = crate::verify::verify(survivor.readers(), &log).await??;
        assert_eq!(head.position.sequence, sequence);
    }
    Ok(())
}

/// A database from before logs had histories keeps its logs, each in its first history.
#[tokio::test]
async fn an_older_database_is_in_its_first_history() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut conn = options.connect().await?;
    let older = crate::schema::LIBRARY.iter().take(2).cloned().collect();
    Migrator::with_migrations(older)
        .run_direct(None, &mut conn, false)
        .await?;
    let (log, epoch) = ("kept".parse()?, crate::log::random_epoch());
    let hash = mesh_types::chain::genesis(&log, epoch);
    sqlx::query("INSERT INTO log_head VALUES ('kept', $1, 0, $2, $3)")
        .bind(epoch.get().cast_signed())
        .bind(hash.as_slice())
        .bind(i64::MIN)
        .execute(&mut conn)
        .await?;
    conn.close().await?;

    let before = crate::offline::Offline::open(&path).await?.heads().await?;
    let before = before["kept"].clone().ok_or("no head")?;
    let store = Store::open(&database(&folder), &no_migrations()).await?;
    let head = crate::verify::verify(store.readers(), &log).await??;
    assert_eq!(head, before);
    assert_eq!((head.position.epoch, head.first_epoch), (epoch, epoch));
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.db"), [7; 8192]).unwrap();
    let error = Store::open(&database(&folder), &no_migrations())
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Unfit(Unfit::Damaged { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_the_driver_says_is_a_source_and_never_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&database(&folder), &no_migrations())
        .await
        .unwrap();
    let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
    for (statement, variant, said) in [
        (
            "INSERT INTO token_key (id, secret) VALUES (1, zeroblob(32))",
            "Constraint",
            "token_key.id",
        ),
        (
            "INSERT INTO token_key (id, secret) VALUES (2, zeroblob(32))",
            "Constraint",
            "id = 1",
        ),
        (
            "SELECT secret FROM nothing_of_that_name",
            "Statement",
            "nothing_of_that_name",
        ),
    ] {
        let error = query(statement).execute(tx.conn()).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(variant), "{error:?}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(said), "{source}");
        assert!(!error.to_string().contains(said), "{error}");
    }
}
