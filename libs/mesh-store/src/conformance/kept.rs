//! How long an answer is remembered, and what becomes of it then.

use std::time::Duration;

use mesh_types::{Clock as _, Timestamp};

use super::ledger::{Command, Deed, No, World};
use super::{Checked, Database};
use crate::sql::query;
use crate::{Outcome, RequestKey, StoreError, WriterSettings, fingerprint};

const HOUR: Duration = Duration::from_hours(1);
/// How often the clock is looked at where it goes right.
const LOOK: Duration = Duration::from_hours(6);

fn key(number: usize) -> RequestKey {
    RequestKey {
        party: "A".to_owned(),
        rpc: "Put".into(),
        request_id: format!("kept-{number}"),
    }
}

/// Keeps an answer for each of these requests that is new, in one transaction; says which are.
async fn ask(
    world: &World,
    numbers: impl IntoIterator<Item = usize>,
) -> Result<Vec<bool>, StoreError> {
    let keys: Vec<RequestKey> = numbers.into_iter().map(key).collect();
    let print = fingerprint([&b"the same"[..]]);
    let mut tx = world.store.begin_write(world.clock.now()).await?;
    tx.look_up(&keys).await?;
    let mut new = Vec::new();
    for key in &keys {
        let outcome = tx.outcome(key, &print)?;
        new.push(outcome == Outcome::New);
        match outcome {
            Outcome::New => tx.keep(key, print, b"answer".to_vec())?,
            Outcome::Replay(answer) => assert_eq!(answer, b"answer"),
            Outcome::Reused => panic!("{key:?} is of another request"),
        }
    }
    tx.commit().await?;
    Ok(new)
}

/// Lets the time pass as a service sees it that is in use.
async fn pass(world: &World, time: Duration) -> Result<(), StoreError> {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(LOOK);
        left -= step;
        world.clock.advance(step);
        world.store.tend(world.clock.as_ref()).await?;
    }
    Ok(())
}

/// For thirty days the same request gets its answer, also from a service that was started anew;
/// after thirty-five nothing is known of it, and it is a new one.
pub async fn an_answer_is_kept_for_its_life_and_then_forgotten(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    assert_eq!(ask(&world, [1]).await?, [true]);
    pass(&world, 30 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1, 2]).await?, [false, true]);
    let shown = world.clock.now();
    world.stop().await;

    let world = World::start(database, WriterSettings::default()).await?;
    world.clock.set(shown);
    pass(&world, 5 * 24 * HOUR).await?;
    assert_eq!(
        (ask(&world, [1]).await?, world.kept().await?),
        (vec![false], 2)
    );
    pass(&world, HOUR).await?;
    assert_eq!(world.kept().await?, 1);
    assert_eq!(ask(&world, [1, 2]).await?, [true, false]);
    Ok(())
}

/// A transaction forgets a few answers, more than it adds; those that it is asked for are given and
/// those that it adds are kept.
pub async fn answers_are_forgotten_in_steps(database: &Database) -> Checked {
    const OLD: usize = 1_500;
    let world = World::start(database, WriterSettings::default()).await?;
    ask(&world, 0..OLD).await?;
    // The clock is looked at, and nobody writes what could forget.
    for _ in 0..36 * 4 {
        world.clock.advance(LOOK);
        drop(world.store.begin_write(world.clock.now()).await?);
    }
    let mut kept = world.kept().await?;
    assert_eq!(kept, i64::try_from(OLD)?);
    let answers = ask(&world, (0..10).chain(OLD..OLD + 200)).await?;
    assert!(answers.iter().take(10).all(|new| !new));
    assert!(answers.iter().skip(10).all(|new| *new));
    assert_eq!(world.kept().await?, kept + 200 - 400);
    let mut steps = 0;
    while world.store.tend(world.clock.as_ref()).await? {
        let left = world.kept().await?;
        assert_eq!(kept - left, if steps == 0 { 456 } else { 256 });
        (kept, steps) = (left, steps + 1);
    }
    assert_eq!(world.kept().await?, 200);
    let answers = ask(&world, OLD..OLD + 200).await?;
    assert!(answers.iter().all(|new| !new));
    Ok(())
}

/// A clock that is set wrong, and right again, takes nobody's answer away.
pub async fn no_clock_ends_the_life_of_an_answer(database: &Database) -> Checked {
    let mut world = World::start(database, WriterSettings::default()).await?;
    let right = world.clock.now();
    assert_eq!(ask(&world, [1]).await?, [true]);
    for wrong in [
        right.saturating_add(365 * 24 * HOUR),
        Timestamp::from_micros(0),
        Timestamp::from_micros(i64::MAX / 2),
    ] {
        world.clock.set(wrong);
        assert_eq!(ask(&world, [1]).await?, [false]);
        world.stop().await;
        world = World::start(database, WriterSettings::default()).await?;
        world.clock.set(wrong);
        assert_eq!(ask(&world, [1]).await?, [false]);
        world.clock.set(right);
        assert_eq!(ask(&world, [1]).await?, [false]);
    }
    pass(&world, 30 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1]).await?, [false]);
    pass(&world, 6 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1]).await?, [true]);
    Ok(())
}

/// A database from before ages were counted is as old as the last answer in it, if the clock is ahead when
/// it is opened.
pub async fn answers_from_before_ages_have_their_life_too(database: &Database) -> Checked {
    let mut world = World::start(database, WriterSettings::default()).await?;
    let right = world.clock.now();
    assert_eq!(ask(&world, [1]).await?, [true]);
    let mut tx = world.store.begin_write(right).await?;
    query("DELETE FROM database_age").execute(tx.conn()).await?;
    tx.commit().await?;
    world.stop().await;

    world = World::start(database, WriterSettings::default()).await?;
    world.clock.set(right.saturating_add(365 * 24 * HOUR));
    assert_eq!(ask(&world, [1]).await?, [false]);
    pass(&world, 34 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1]).await?, [false]);
    pass(&world, 24 * HOUR).await?;
    assert_eq!(ask(&world, [1]).await?, [true]);
    Ok(())
}

/// One of them that was dated by a clock that was ahead makes the others no older.
pub async fn an_answer_from_before_ages_ends_no_other(database: &Database) -> Checked {
    let mut world = World::start(database, WriterSettings::default()).await?;
    let right = world.clock.now();
    assert_eq!(ask(&world, [1, 2]).await?, [true, true]);
    let ahead = right.saturating_add(365 * 24 * HOUR);
    let mut tx = world.store.begin_write(right).await?;
    query("DELETE FROM database_age").execute(tx.conn()).await?;
    query("UPDATE idempotency SET recorded_time = $1 WHERE request_id = 'kept-2'")
        .bind(ahead.micros())
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    world.stop().await;

    world = World::start(database, WriterSettings::default()).await?;
    world.clock.set(right);
    pass(&world, 30 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1, 2]).await?, [false, false]);
    pass(&world, 6 * 24 * HOUR).await?;
    assert_eq!(ask(&world, [1, 2]).await?, [true, false]);
    Ok(())
}

/// While nobody writes, the writer forgets by itself.
pub async fn an_idle_writer_forgets(database: &Database) -> Checked {
    let settings = WriterSettings {
        idle: Duration::from_millis(1),
        ..WriterSettings::default()
    };
    let world = World::start(database, settings).await?;
    ask(&world, 0..600).await?;
    while world.kept().await? > 0 {
        world.clock.advance(HOUR);
        tokio::task::yield_now().await;
    }
    // It still takes commands.
    let refused = world.writer.submit(Command::new(1, Deed::Refuse)).await?;
    assert_eq!(refused, Err(No::Refused));
    assert_eq!(world.writer.submit(Command::put(2)).await??, 1);
    Ok(())
}
