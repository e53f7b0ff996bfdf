//! What holds when several processes have the database open. A file has one, so that these cases are over at once there.

use std::time::Duration;

use futures::future::try_join_all;
use mesh_testkit::wait_until;
use mesh_types::Timestamp;

use super::ledger::{Command, World};
use super::{Checked, Database};
use crate::sql::query_scalar;
use crate::{WriterSettings, verify};

/// Two worlds on one database, if it can have two.
async fn two(database: &Database) -> Result<Option<(World, World)>, crate::StoreError> {
    let one = World::start(database, WriterSettings::default()).await?;
    if !one.store.is_shared() {
        return Ok(None);
    }
    let other = World::start(database, WriterSettings::default()).await?;
    Ok(Some((one, other)))
}

/// Each request has one event, and the log no hole, whoever is asked.
pub async fn several_processes_write_one_log(database: &Database) -> Checked {
    let Some((one, other)) = two(database).await? else {
        return Ok(());
    };
    let submitted = (0..200_i64).map(|item| {
        // Each twice: once here and once there.
        let world = if item % 2 == 0 { &one } else { &other };
        world.writer.submit(Command::put(item / 2))
    });
    let answers = try_join_all(submitted).await?;
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let head = verify::verify(one.store.readers(), &one.log).await??;
    assert_eq!(head.position.sequence, 100);
    let mut committed = one.store.committed().subscribe(&one.log);
    wait_until(
        "the other's commits to be heard of",
        async || match *committed.borrow_and_update() {
            100 => Ok(()),
            latest => Err(latest),
        },
    )
    .await;
    Ok(())
}

/// What was known at a time that is over for one process is final for another whose clock is behind.
pub async fn what_one_process_has_told_no_other_changes(database: &Database) -> Checked {
    let Some((one, behind)) = two(database).await? else {
        return Ok(());
    };
    let at = Timestamp::from_micros;
    for world in [&one, &behind] {
        world.clock.set(at(2_000_000));
    }
    one.writer.submit(Command::put(1)).await??;
    one.clock.set(at(9_000_000));
    assert_eq!(one.known_at(8_000_000).await?, Some(1));
    behind.writer.submit(Command::put(2)).await??;
    assert_eq!(one.known_at(8_000_000).await?, Some(1));
    assert_eq!(behind.known_at(8_000_000).await?, Some(1));
    assert_eq!(one.times().await?, [2_000_000, 9_000_000]);
    // Nor does the time of a log go back behind another one's.
    let log = "other".parse()?;
    let mut tx = one.store.begin_write(at(9_500_000)).await?;
    tx.create_log(&log, crate::log::random_epoch()).await?;
    tx.lock(&log).await?;
    tx.append(&log, |_| vec![1])?;
    tx.commit().await?;
    behind.writer.submit(Command::put(3)).await??;
    assert_eq!(one.times().await?[2], 9_500_000);
    Ok(())
}

/// One whose clock is behind makes the database no younger.
pub async fn a_database_ages_by_whoever_has_counted_most(database: &Database) -> Checked {
    let Some((one, behind)) = two(database).await? else {
        return Ok(());
    };
    let age = async || -> Result<i64, crate::StoreError> {
        let mut conn = one.store.readers().acquire().await?;
        query_scalar("SELECT age FROM database_age WHERE id = 1")
            .fetch_one(&mut conn)
            .await
    };
    one.clock.advance(Duration::from_hours(1));
    one.writer.submit(Command::put(1)).await??;
    let before = age().await?;
    behind.writer.submit(Command::put(2)).await??;
    assert_eq!(age().await?, before);
    Ok(())
}

/// A process that ends leaves, unless somebody relies on its word.
pub async fn processes_know_whether_there_are_others(database: &Database) -> Checked {
    let Some((one, other)) = two(database).await? else {
        return Ok(());
    };
    assert!(one.store.has_others().await?);
    other.stop().await;
    assert!(!one.store.has_others().await?);
    let promising = World::start(database, WriterSettings::default()).await?;
    assert!(promising.store.promise(Duration::from_secs(5)));
    promising.stop().await;
    assert!(one.store.has_others().await?);
    Ok(())
}
