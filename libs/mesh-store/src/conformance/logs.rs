//! How logs are read, by whom, and when.

use mesh_types::{LogName, Timestamp, chain};

use super::ledger::{Command, World};
use super::{Checked, Database};
use crate::log::{self, PageLimit};
use crate::{StoreError, WriterSettings, verify};

/// Pages end at their limits, go on where the last one ended, and are empty at the end. A hole is
/// an error.
pub async fn events_are_read_in_pages(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.together((1..=9).map(Command::put)).await?;
    let mut conn = world.store.readers().acquire().await?;
    let all = log::read(&mut conn, &world.log, 0, PageLimit::default()).await?;
    assert_eq!(all.len(), 9);
    let length = all[0].event.len();

    for (events, octets, expected) in [
        (4, usize::MAX, 4),
        (100, length * 3, 3),
        (100, length * 3 - 1, 2),
        (100, 0, 1),
    ] {
        let page = PageLimit { events, octets };
        let read = log::read(&mut conn, &world.log, 2, page).await?;
        assert_eq!(read, all[2..2 + expected], "{page:?}");
    }
    for after in [9, 10, u64::MAX] {
        let read = log::read(&mut conn, &world.log, after, PageLimit::default()).await?;
        assert_eq!(read, []);
    }
    let nowhere: LogName = "nowhere".parse()?;
    assert_eq!(log::head(&mut conn, &nowhere).await?, None);
    assert_eq!(log::hash_at(&mut conn, &nowhere, 0).await?, None);
    assert_eq!(
        log::read(&mut conn, &nowhere, 0, PageLimit::default()).await?,
        []
    );
    assert!(
        verify::verify(world.store.readers(), &nowhere)
            .await
            .is_err()
    );

    let head = log::head(&mut conn, &world.log).await?.ok_or("no head")?;
    assert_eq!((head.position.sequence, head.hash), (9, all[8].hash));
    let genesis = chain::genesis(&world.log, head.position.epoch);
    assert_eq!(all[0].previous_hash, genesis);
    assert_eq!(log::hash_at(&mut conn, &world.log, 0).await?, Some(genesis));
    assert_eq!(
        log::hash_at(&mut conn, &world.log, 4).await?,
        Some(all[3].hash)
    );
    assert_eq!(log::hash_at(&mut conn, &world.log, 10).await?, None);

    let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
    sqlx::query("DELETE FROM log_event WHERE sequence = 5")
        .execute(tx.conn())
        .await?;
    for after in [0, 4] {
        let read = log::read(tx.conn(), &world.log, after, PageLimit::default()).await;
        assert!(
            matches!(read, Err(StoreError::Inconsistent { .. })),
            "{read:?}"
        );
    }
    Ok(())
}

/// With a clock that goes back, times along the log still do not; each event holds its own.
pub async fn recorded_time_never_goes_back(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let mut expected = Vec::new();
    for (item, (clock, recorded)) in (0..).zip([(500, 500), (200, 500), (501, 501), (-7, 501)]) {
        world.clock.set(Timestamp::from_micros(clock));
        world.writer.submit(Command::put(item)).await??;
        expected.push(recorded);
    }
    let events = world.events().await?;
    let times: Vec<i64> = events
        .iter()
        .map(|event| event.recorded_time.micros())
        .collect();
    assert_eq!(times, expected);
    for event in events {
        let own = format!("{} {} ", event.sequence, event.recorded_time.micros());
        assert!(String::from_utf8(event.event)?.starts_with(&own), "{own}");
    }
    verify::verify(world.store.readers(), &world.log).await??;
    Ok(())
}

/// What was known at a time ends at the last event recorded up to then.
pub async fn what_was_known_at_a_time_is_one_position(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    for (item, clock) in [(1, 100), (2, 100), (3, 200), (4, 150)] {
        world.clock.set(Timestamp::from_micros(clock));
        world.writer.submit(Command::put(item)).await??;
    }
    let mut conn = world.store.readers().acquire().await?;
    for (time, sequence) in [(99, 0), (100, 2), (199, 2), (200, 4), (i64::MAX, 4)] {
        let time = Timestamp::from_micros(time);
        assert_eq!(log::known_at(&mut conn, &world.log, time).await?, sequence);
    }
    Ok(())
}

/// A subscriber wakes when something is committed, and then finds it.
pub async fn followers_are_woken_after_the_commit(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let mut committed = world.store.committed().subscribe(&world.log);
    let follower = {
        let (store, log) = (world.store.clone(), world.log.clone());
        tokio::spawn(async move {
            let mut seen = 0;
            while seen < 20 {
                committed.changed().await?;
                let promised = *committed.borrow_and_update();
                let mut conn = store.readers().acquire().await?;
                let page = log::read(&mut conn, &log, seen, PageLimit::default()).await?;
                seen = page.last().map_or(seen, |event| event.sequence);
                assert!(seen >= promised, "promised {promised}, found {seen}");
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    };
    for item in 0..20 {
        world.writer.submit(Command::put(item)).await??;
    }
    follower.await??;
    Ok(())
}

/// Reads in a snapshot agree whatever is committed meanwhile; a reader's connection cannot write.
pub async fn snapshots_stand_still_and_readers_cannot_write(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.writer.submit(Command::put(1)).await??;
    let mut snapshot = world.store.snapshot().await?;
    let before = log::head(&mut snapshot, &world.log).await?;
    world.writer.submit(Command::put(2)).await??;
    let events = log::read(&mut snapshot, &world.log, 0, PageLimit::default()).await?;
    assert_eq!(events.len(), 1);
    assert_eq!(log::head(&mut snapshot, &world.log).await?, before);
    drop(snapshot);
    assert_eq!(world.told().await?, [1, 2]);

    let refused = sqlx::query("DELETE FROM item")
        .execute(world.store.readers())
        .await;
    assert!(refused.is_err());
    assert_eq!(world.items().await?, [1, 2]);
    Ok(())
}
