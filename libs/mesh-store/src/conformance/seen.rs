//! Followers have seen more of a log than there is.

use mesh_types::{Epoch, LogName, Timestamp};

use super::ledger::{Command, World};
use super::{Checked, Database};
use crate::cursor::Cursor;
use crate::log::{self, Head};
use crate::sql::query;
use crate::{Condition, Seen, Store, StoreError, Trouble, WriterSettings, sequence_to_db};

/// Has a log accept that a history is over whose epoch is `over`, as if an operator had given up another
/// database for this one: whoever saw that history starts over.
pub async fn accept_history(store: &Store, log: &LogName, over: Epoch) -> Checked {
    let mut tx = store.begin_write(Timestamp::from_micros(0)).await?;
    query(
        "INSERT INTO log_history \
         (log, epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason) \
         SELECT log, $2, 0, 0, epoch, 0, 'an operator', 'a test' FROM log_head WHERE log = $1",
    )
    .bind(log.as_str())
    .bind(sequence_to_db(over.get()))
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(())
}

/// What a follower saw fits if it is in the log, and the log went back if it is not.
pub async fn a_log_knows_what_was_seen_of_it(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let empty = seen(&head(&world).await?);
    assert_eq!(world.store.judge_seen(&empty).await?, Seen::Fits);
    world.together((1..=3).map(Command::put)).await?;
    let third = seen(&head(&world).await?);
    let mut next = third.clone();
    next.position.sequence += 1;
    let mut forked = third.clone();
    forked.hash[31] ^= 1;
    let mut other_history = third.clone();
    other_history.position.epoch = log::random_epoch();
    let mut other_log = third.clone();
    other_log.position.log = "another".parse()?;
    for (seen, expected) in [
        (&empty, Seen::Fits),
        (&third, Seen::Fits),
        (&next, Seen::WentBack),
        (&forked, Seen::WentBack),
        (&other_history, Seen::WentBack),
        (&other_log, Seen::WentBack),
    ] {
        assert_eq!(world.store.judge_seen(seen).await?, expected, "{seen:?}");
    }
    Ok(())
}

/// From the moment that a log is known to have gone back, nothing is written: not by the writer, not
/// by a transaction that is under way.
pub async fn a_log_that_went_back_takes_no_writes(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    world.writer.submit(Command::put(1)).await??;
    let condition = world.store.condition();
    assert_eq!(*condition.borrow(), Condition::Sound);
    let mut under_way = world.store.begin_write(Timestamp::from_micros(1)).await?;
    under_way.lock(&world.log).await?;
    under_way.append(&world.log, |_| b"too late".to_vec())?;

    let mut lost = seen(&head(&world).await?);
    lost.position.sequence = 30;
    world.store.went_back(&lost, "a follower");

    let log = world.log.clone();
    let expected = Condition::Trouble(Trouble::WentBack { log: log.clone() });
    assert_eq!(*condition.borrow(), expected);
    let refused = under_way.commit().await;
    assert!(
        matches!(&refused, Err(StoreError::WentBack { log: named }) if *named == log),
        "{refused:?}"
    );
    let refused = world.writer.submit(Command::put(2)).await;
    assert!(
        matches!(refused, Err(StoreError::WentBack { .. })),
        "{refused:?}"
    );
    assert_eq!(head(&world).await?.position.sequence, 1);
    Ok(())
}

async fn head(world: &World) -> Result<Head, Box<dyn std::error::Error + Send + Sync>> {
    let mut conn = world.store.readers().acquire().await?;
    let head = log::head(&mut conn, &world.log).await?;
    Ok(head.ok_or("the log is missing")?)
}

fn seen(head: &Head) -> Cursor {
    Cursor {
        position: head.position.clone(),
        hash: head.hash,
    }
}
