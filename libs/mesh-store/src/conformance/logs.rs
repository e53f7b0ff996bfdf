//! How logs are read, by whom, and when.

use std::sync::Arc;

use mesh_types::{Clock as _, LogName, Timestamp, chain};

use super::ledger::{Command, Deed, Gate, World};
use super::{Checked, Database};
use crate::log::{self, PageLimit};
use crate::sql::query;
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
    query("DELETE FROM log_event WHERE sequence = 5")
        .execute(tx.conn())
        .await?;
    for after in [0, 4] {
        let read = log::read(tx.conn(), &world.log, after, PageLimit::default()).await;
        assert!(
            matches!(read, Err(StoreError::Inconsistent { .. })),
            "{read:?}"
        );
        let times = log::recorded_times(tx.conn(), &world.log, after, 9).await;
        assert!(
            matches!(times, Err(StoreError::Inconsistent { .. })),
            "{times:?}"
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
    assert_eq!(world.times().await?, expected);
    let mut conn = world.store.readers().acquire().await?;
    for (after, events, expected) in [
        (0, 9, expected.as_slice()),
        (1, 2, &expected[1..3]),
        (4, 9, &[]),
        (u64::MAX >> 1, 9, &[]),
    ] {
        let times = log::recorded_times(&mut conn, &world.log, after, events).await?;
        let times: Vec<i64> = times.into_iter().map(Timestamp::micros).collect();
        assert_eq!(times, expected, "after {after}");
    }
    drop(conn);
    let tx = world.store.begin_write(Timestamp::from_micros(300)).await?;
    let times = [tx.shown(), tx.now()].map(Timestamp::micros);
    assert_eq!(times, [300, 501]);
    tx.rollback().await?;
    for event in world.events().await? {
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
    for (time, known) in [
        (99, Some(0)),
        (100, Some(2)),
        (199, Some(2)),
        (200, None),
        (i64::MAX, None),
    ] {
        assert_eq!(world.known_at(time).await?, known, "{time}");
    }
    // A time is over when the clock shows a later one.
    world.clock.set(Timestamp::from_micros(201));
    assert_eq!(world.known_at(200).await?, Some(4));
    assert_eq!(world.known_at(201).await?, None);
    Ok(())
}

/// Neither a transaction that has its time and commits later, nor a clock that goes back, changes
/// what was known.
pub async fn what_was_known_at_a_time_stays_so(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.clock.set(Timestamp::from_micros(100));
    let (first, held) = world.hold().await;
    let under_way = Arc::new(Gate::default());
    let holding = world
        .queue(Command::new(-200, Deed::Hold(under_way.clone())))
        .await;
    let put = world.queue(Command::put(1)).await;
    first.open.notify_one();
    held.await???;
    under_way.entered.notified().await;

    world.clock.set(Timestamp::from_micros(200));
    let committed = async {
        // Time enough to answer without waiting for the transaction.
        for _ in 0..50 {
            assert_eq!(world.events().await?, []);
        }
        under_way.open.notify_one();
        Ok::<_, StoreError>(())
    };
    let (known, committed) = futures::join!(world.known_at(150), committed);
    committed?;
    assert_eq!(known?, Some(1));
    holding.await???;
    put.await???;

    world.clock.set(Timestamp::from_micros(50));
    world.writer.submit(Command::put(2)).await??;
    assert_eq!(world.known_at(150).await?, Some(1));
    let times: Vec<i64> = world.times().await?;
    assert_eq!(times, [100, 200]);
    Ok(())
}

/// Whoever asks while others write is told what everybody is told later.
pub async fn no_write_changes_what_was_known(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let writer = world.writer.clone();
    let writing = tokio::spawn(async move {
        for item in 0..300 {
            writer.submit(Command::put(item)).await??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let mut told = Vec::new();
    while !writing.is_finished() {
        let time = world.clock.now().micros();
        world.clock.set(Timestamp::from_micros(time + 1));
        told.push((time, world.known_at(time).await?));
    }
    writing.await??;
    let times = world.times().await?;
    assert_eq!(times.len(), 300);
    for (time, known) in told {
        let recorded = times.partition_point(|&recorded| recorded <= time);
        assert_eq!(known, Some(recorded as u64), "{time}");
    }
    Ok(())
}

/// A command that waits for another transaction is recorded at the time when it has its turn.
pub async fn an_event_has_the_time_at_which_the_log_was_locked(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.clock.set(Timestamp::from_micros(100));
    let other = world.store.begin_write(Timestamp::from_micros(100)).await?;
    let writer = world.writer.clone();
    let put = tokio::spawn(async move { writer.submit(Command::put(1)).await });
    // The writer takes it, and then waits for the lock.
    for _ in 0..50 {
        assert_eq!(world.events().await?, []);
    }
    world.clock.set(Timestamp::from_micros(200));
    other.rollback().await?;
    put.await???;
    assert_eq!(world.times().await?, [200]);
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

    let mut conn = world.store.readers().acquire().await?;
    let refused = query("DELETE FROM item").execute(&mut conn).await;
    assert!(refused.is_err());
    drop(conn);
    assert_eq!(world.items().await?, [1, 2]);
    Ok(())
}
