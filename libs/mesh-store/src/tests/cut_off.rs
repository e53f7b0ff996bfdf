//! Processes that are killed in the middle of what they do with files, and what the next one makes of it.

use std::path::{Path, PathBuf};

use mesh_types::{ManualClock, Timestamp};
use sqlx::Connection as _;

use super::no_migrations;
use crate::accept::prepare;
use crate::conformance::Checked;
use crate::open::without_finished_wal;
use crate::sqlite::beside;
use crate::witness::file::{Beside, read};
use crate::{Database, Decision, Resolve, Store, StoreError, log};

const AT: Timestamp = Timestamp::from_micros(7);

fn database(path: &Path) -> Database {
    Database::existing_or_new(format!("sqlite://{}", path.display()))
}

async fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&database(path), &no_migrations()).await
}

/// Appends so many events to the log of the database at `path`, which is closed then. Gives what stood in
/// its witness while it was open.
async fn append(path: &Path, events: usize) -> Result<Vec<u8>, StoreError> {
    let store = open(path).await?;
    let log = "flags".parse().unwrap();
    store.make_logs(&[&log], &ManualClock::new(AT)).await?;
    append_to(&store, events).await?;
    let witness = std::fs::read(beside(path, ".witness"))?;
    store.close().await;
    Ok(witness)
}

async fn append_to(store: &Store, events: usize) -> Result<(), StoreError> {
    let log = "flags".parse().unwrap();
    for _ in 0..events {
        let mut tx = store.begin_write(AT).await?;
        tx.lock(&log).await?;
        tx.append(&log, |stamp| stamp.position.to_string().into_bytes())?;
        tx.commit().await?;
    }
    Ok(())
}

async fn reached(store: &Store) -> Result<u64, StoreError> {
    let mut conn = store.readers().acquire().await?;
    let head = log::head(&mut conn, &"flags".parse().unwrap()).await?;
    Ok(head.map_or(0, |head| head.position.sequence))
}

/// One was killed when all of its `-wal` was in the database and the witness did not say so yet; the next
/// one when it had begun a `-wal` with salts of its own, and before it could note anything.
#[tokio::test]
async fn two_that_are_killed_one_after_the_other_leave_a_database_that_opens() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let witness = append(&path, 30).await?;
    std::fs::write(beside(&path, ".witness"), witness)?;

    let Beside::Witness(remembered) = read(&path)? else {
        panic!("no witness");
    };
    assert!(remembered.wal.is_some_and(|mark| mark.frames > 0));
    without_finished_wal(&path, *remembered)?;
    let mut second = sqlx::SqliteConnection::connect(&database(&path).url).await?;
    let begun = "PRAGMA journal_mode = WAL; CREATE TABLE of_the_second_one (id BIGINT)";
    sqlx::raw_sql(begun).execute(&mut second).await?;

    let left = folder.path().join("left.db");
    for suffix in ["", "-wal", ".witness"] {
        std::fs::copy(beside(&path, suffix), beside(&left, suffix))?;
    }
    assert!(beside(&left, "-wal").metadata()?.len() > 0);
    let third = open(&left).await?;
    assert_eq!(reached(&third).await?, 30);
    third.close().await;
    second.close().await?;
    Ok(())
}

/// Whatever a restore had done by then: nobody goes on with an empty database, and it can be done again.
#[tokio::test]
async fn a_restore_that_is_cut_off_anywhere_is_done_again() -> Checked {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    append(&at("first.db"), 20).await?;
    crate::backup(&at("first.db"), &at("backup.db"), &[]).await?;
    append(&at("first.db"), 9).await?;
    let alive = open(&at("first.db")).await?;
    append_to(&alive, 1).await?;
    let mut cut = 0;
    loop {
        let path = at(&format!("{cut}/store.db"));
        std::fs::create_dir_all(path.parent().unwrap())?;
        for suffix in ["", "-wal", ".witness"] {
            std::fs::copy(beside(&at("first.db"), suffix), beside(&path, suffix))?;
        }
        let (_, moves) = prepare(&at("backup.db"), &path, &decision(1)).await?;
        for one in &moves[..cut] {
            one.make()?;
        }
        match open(&path).await {
            // Before the first move that matters all is as it was, and after the last one all is done.
            Ok(store) => {
                let expected = if cut == moves.len() { 20 } else { 30 };
                assert_eq!(reached(&store).await?, expected, "after {cut} moves");
                store.close().await;
            }
            Err(StoreError::Unfit(_)) => {}
            Err(other) => panic!("after {cut} moves: {other:?}"),
        }
        crate::restore(
            &at("backup.db"),
            &path,
            true,
            &[],
            &decision(2),
            Resolve::CarryOut,
        )
        .await?;
        let store = open(&path).await?;
        assert_eq!(reached(&store).await?, 20, "after {cut} moves");
        store.close().await;
        // What was there before the first attempt is kept, with what its -wal has.
        let mut events = Vec::new();
        for path in kept(&path) {
            events.push(events_in(&path).await?);
        }
        assert!(events.contains(&30), "after {cut} moves: {events:?}");
        if cut == moves.len() {
            alive.close().await;
            return Ok(());
        }
        cut += 1;
    }
}

async fn events_in(path: &Path) -> Result<i64, sqlx::Error> {
    let mut conn = sqlx::SqliteConnection::connect(&database(path).url).await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM log_event");
    let count = count.fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(count)
}

fn kept(path: &Path) -> Vec<PathBuf> {
    let names = [1, 2].map(|at| beside(path, &format!(".before-{at}")));
    names.into_iter().filter(|path| path.exists()).collect()
}

fn decision(at: i64) -> Decision {
    Decision {
        by: "an operator".to_owned(),
        reason: "a test".to_owned(),
        at: Timestamp::from_micros(at),
        seen: Vec::new(),
    }
}
