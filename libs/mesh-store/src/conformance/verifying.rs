//! Logs that somebody has changed behind the store's back.

use mesh_types::{Sequence, Timestamp, chain};

use super::ledger::{Command, World};
use super::{Checked, Database};
use crate::log::{self, PageLimit, StoredEvent};
use crate::sql::query;
use crate::verify::{Misfit, What, verify};
use crate::{WriteTx, WriterSettings, sequence_to_db};

const EVENTS: i64 = 1203;

/// A log of several pages is found whole, also while it grows.
pub async fn a_whole_log_is_found_whole(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let empty = verify(world.store.readers(), &world.log).await??;
    assert_eq!(empty.position.sequence, 0);
    fill(&world).await?;
    let growing = {
        let writer = world.writer.clone();
        tokio::spawn(async move {
            for item in 0..50 {
                writer.submit(Command::put(EVENTS + item)).await??;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    };
    while !growing.is_finished() {
        let head = verify(world.store.readers(), &world.log).await??;
        assert!(head.position.sequence >= u64::try_from(EVENTS)?);
    }
    growing.await??;
    let head = verify(world.store.readers(), &world.log).await??;
    assert_eq!(head.position.sequence, u64::try_from(EVENTS + 50)?);
    Ok(())
}

/// A hole, a swap, a change of any column, an edit with its hash made to fit, and a changed head
/// are found, each at its event.
pub async fn every_misfit_is_found_with_its_sequence(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    fill(&world).await?;
    // Who looks after a database on a server would find that its log went back, and stop the changes.
    world.store.leave_alone().await;
    change(&world, KEEP).await?;
    for (statements, sequence, what) in MISFITS {
        change(&world, statements).await?;
        let found = verify(world.store.readers(), &world.log).await?;
        let expected = Misfit {
            sequence: *sequence,
            what: *what,
        };
        assert_eq!(found, Err(expected), "{statements:?}");
        change(&world, RESTORE).await?;
        verify(world.store.readers(), &world.log).await??;
    }
    every_bit_counts(&world, 700).await?;
    an_edit_that_fits_itself_does_not_fit_the_next(&world, 700).await
}

const KEEP: &[&str] = &[
    "CREATE TABLE kept_event AS SELECT * FROM log_event",
    "CREATE TABLE kept_head AS SELECT * FROM log_head",
];
const RESTORE: &[&str] = &[
    "DELETE FROM log_event",
    "INSERT INTO log_event SELECT * FROM kept_event",
    "DELETE FROM log_head",
    "INSERT INTO log_head SELECT * FROM kept_head",
];

/// What is done to the log, and what is then found where.
const MISFITS: &[(&[&str], Sequence, What)] = &[
    (
        &["DELETE FROM log_event WHERE sequence = 1"],
        1,
        What::Missing,
    ),
    (
        &["DELETE FROM log_event WHERE sequence = 501"],
        501,
        What::Missing,
    ),
    (
        &["DELETE FROM log_event WHERE sequence = 1203"],
        1203,
        What::Missing,
    ),
    (&["DELETE FROM log_event"], 1, What::Missing),
    (
        &[
            "UPDATE log_event SET sequence = 5000 WHERE sequence = 600",
            "UPDATE log_event SET sequence = 600 WHERE sequence = 601",
            "UPDATE log_event SET sequence = 601 WHERE sequence = 5000",
        ],
        600,
        What::PreviousHash,
    ),
    (
        &["UPDATE log_event SET event = \
           (SELECT event FROM kept_event WHERE kept_event.sequence = 3) WHERE sequence = 2"],
        2,
        What::Hash,
    ),
    (
        &["UPDATE log_event SET hash = previous_hash WHERE sequence = 1203"],
        1203,
        What::Hash,
    ),
    (
        &["UPDATE log_event SET previous_hash = hash WHERE sequence = 9"],
        9,
        What::PreviousHash,
    ),
    (
        &["UPDATE log_event SET recorded_time = recorded_time - 1 WHERE sequence = 700"],
        700,
        What::RecordedTime,
    ),
    (
        &["UPDATE log_head SET recorded_time = recorded_time + 1"],
        1203,
        What::Head,
    ),
    (
        &["UPDATE log_head SET hash = (SELECT hash FROM log_event WHERE sequence = 1202)"],
        1203,
        What::Head,
    ),
    (
        &["UPDATE log_head SET sequence = 1202, \
           hash = (SELECT hash FROM log_event WHERE sequence = 1202)"],
        1203,
        What::BehindHead,
    ),
    (
        &["UPDATE log_head SET sequence = 1205"],
        1204,
        What::Missing,
    ),
    (
        &["UPDATE log_head SET first_epoch = first_epoch - 1"],
        1,
        What::PreviousHash,
    ),
    (
        &["UPDATE log_head SET epoch = epoch - 1"],
        1203,
        What::Epoch,
    ),
];

async fn every_bit_counts(world: &World, sequence: Sequence) -> Checked {
    let event = stored(world, sequence).await?.event;
    for bit in 0..event.len() * 8 {
        let mut edited = event.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
        set_event(&mut tx, sequence, &edited).await?;
        tx.commit().await?;
        let found = verify(world.store.readers(), &world.log).await?;
        let what = What::Hash;
        assert_eq!(found, Err(Misfit { sequence, what }), "bit {bit}");
    }
    change(world, RESTORE).await
}

async fn an_edit_that_fits_itself_does_not_fit_the_next(
    world: &World,
    sequence: Sequence,
) -> Checked {
    let previous = stored(world, sequence).await?.previous_hash;
    let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
    set_event(&mut tx, sequence, b"forged").await?;
    query("UPDATE log_event SET hash = $2 WHERE sequence = $1")
        .bind(sequence_to_db(sequence))
        .bind(chain::link(&previous, sequence, b"forged").as_slice())
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    let found = verify(world.store.readers(), &world.log).await?;
    let expected = Misfit {
        sequence: sequence + 1,
        what: What::PreviousHash,
    };
    assert_eq!(found, Err(expected));
    Ok(())
}

async fn stored(world: &World, sequence: Sequence) -> Result<StoredEvent, crate::StoreError> {
    let mut conn = world.store.readers().acquire().await?;
    let page = log::read(&mut conn, &world.log, sequence - 1, PageLimit::default()).await?;
    page.into_iter()
        .next()
        .ok_or_else(|| crate::StoreError::inconsistent("log_event", "the event is missing"))
}

async fn set_event(tx: &mut WriteTx, sequence: Sequence, event: &[u8]) -> Checked {
    query("UPDATE log_event SET event = $2 WHERE sequence = $1")
        .bind(sequence_to_db(sequence))
        .bind(event)
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn change(world: &World, statements: &[&'static str]) -> Checked {
    let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
    for statement in statements {
        query(statement).execute(tx.conn()).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn fill(world: &World) -> Checked {
    for answer in world.together((0..EVENTS).map(Command::put)).await? {
        answer??;
    }
    Ok(())
}
