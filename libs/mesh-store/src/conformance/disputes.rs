//! Somebody from outside has seen more of a log than there is.

use mesh_types::Timestamp;

use super::ledger::{Command, World};
use super::{Checked, Database};
use crate::cursor::Cursor;
use crate::dispute::{self, Dispute, Word};
use crate::{Condition, StoreError, WriterSettings, log};

/// It stops no write, lasts across restarts, and ends once the log has it or it is taken back.
pub async fn what_somebody_disputes_lasts_until_the_log_has_it(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.together((1..=3).map(Command::put)).await?;
    let third = end(&world).await?;
    let mut fourth = third.clone();
    fourth.position.sequence = 4;
    assert_eq!(hear(&world, &third, 10).await?, Word::Fits);
    assert_eq!(disputed(&world).await?, None);
    assert_eq!(hear(&world, &fourth, 20).await?, Word::Disputes);
    assert_eq!(hear(&world, &fourth, 30).await?, Word::Repeats);
    let mut later = fourth.clone();
    later.position.sequence = 5;
    assert_eq!(hear(&world, &later, 40).await?, Word::Disputes);
    let expected = Dispute {
        seen: later,
        by: "a reader".to_owned(),
        since: Timestamp::from_micros(20_000_000),
    };
    assert_eq!(disputed(&world).await?, Some(expected.clone()));
    let mut conn = world.store.readers().acquire().await?;
    assert_eq!(dispute::all(&mut conn).await?, [expected]);
    drop(conn);
    // Others are not concerned.
    assert_eq!(*world.store.condition().borrow(), Condition::Sound);
    world.writer.submit(Command::put(4)).await??;

    assert_eq!(hear(&world, &third, 50).await?, Word::TakesBack);
    assert_eq!(disputed(&world).await?, None);
    // What is kept is judged again whenever it is asked about.
    let at = end(&world).await?;
    let mut next = at.clone();
    next.position.sequence += 1;
    next.hash = mesh_types::chain::link(&at.hash, next.position.sequence, b"the fifth");
    assert_eq!(hear(&world, &next, 60).await?, Word::Disputes);
    let mut tx = world
        .store
        .begin_write(Timestamp::from_micros(70_000_000))
        .await?;
    tx.lock(&world.log).await?;
    tx.append(&world.log, |_| b"the fifth".to_vec())?;
    tx.commit().await?;
    assert_eq!(disputed(&world).await?, None);
    Ok(())
}

/// `at` in seconds.
async fn hear(world: &World, seen: &Cursor, at: i64) -> Result<Word, StoreError> {
    let at = Timestamp::from_micros(at * 1_000_000);
    let mut tx = world.store.begin_write(at).await?;
    tx.lock(&world.log).await?;
    let news = dispute::is_news(tx.conn(), seen, "a reader").await?;
    let word = dispute::hear(&mut tx, seen, "a reader").await?;
    assert_eq!(news, matches!(word, Word::Disputes | Word::TakesBack));
    tx.commit().await?;
    Ok(word)
}

async fn disputed(world: &World) -> Result<Option<Dispute>, StoreError> {
    let mut conn = world.store.readers().acquire().await?;
    dispute::of(&mut conn, &world.log).await
}

async fn end(world: &World) -> Result<Cursor, StoreError> {
    let mut conn = world.store.readers().acquire().await?;
    let head = log::head(&mut conn, &world.log).await?;
    let head = head.ok_or_else(|| StoreError::inconsistent("log_head", "the log is missing"))?;
    Ok(Cursor::from(&head))
}
