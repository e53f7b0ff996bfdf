//! Requests that come twice, and followers that race.

use mesh_types::{Position, Timestamp};

use super::ledger::{Command, Deed, No, World, ledger_log};
use super::{Checked, Database};
use crate::cursor::{self, Advance, Cursor};
use crate::{Outcome, RequestKey, WriterSettings, fingerprint, log};

/// The same request is answered as before and writes nothing, in one batch, in the next one and
/// after a restart; its id with another content is refused; a refusal is not kept.
pub async fn a_request_is_answered_once(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let other_content = Command {
        fingerprint: fingerprint([&b"other"[..]]),
        ..Command::put(1)
    };
    let other_party = Command {
        key: RequestKey {
            party: "B".to_owned(),
            ..Command::put(1).key
        },
        item: 2,
        ..Command::put(1)
    };
    let answers = world
        .together([
            Command::put(1),
            Command::put(1),
            other_content.clone(),
            other_party.clone(),
        ])
        .await?;
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(answers, [Ok(1), Ok(1), Err(No::Reused), Ok(2)]);

    assert_eq!(world.writer.submit(Command::put(1)).await??, 1);
    assert_eq!(world.writer.submit(other_content).await?, Err(No::Reused));
    let refused = world.writer.submit(Command::new(3, Deed::Refuse)).await?;
    assert_eq!(refused, Err(No::Refused));
    assert_eq!(world.writer.submit(Command::put(3)).await??, 3);
    world.stop().await;

    let world = World::start(database, WriterSettings::default()).await?;
    assert_eq!(world.writer.submit(other_party).await??, 2);
    assert_eq!(world.told().await?, [1, 2, 3]);
    assert_eq!(world.items().await?, [1, 2, 3]);
    assert_eq!(world.kept().await?, 3);
    Ok(())
}

/// Of many equal requests at the same time one is applied, and all get its answer.
pub async fn equal_requests_race_to_one_answer(database: &Database) -> Checked {
    let settings = WriterSettings {
        batch_weight: 3,
        ..WriterSettings::default()
    };
    let world = World::start(database, settings).await?;
    assert_eq!(world.writer.submit(Command::put(0)).await??, 1);
    let racers: Vec<_> = (0..32)
        .map(|_| {
            let writer = world.writer.clone();
            tokio::spawn(async move { writer.submit(Command::put(1)).await })
        })
        .collect();
    for racer in racers {
        assert_eq!(racer.await??, Ok(2));
    }
    assert_eq!(world.told().await?, [0, 1]);
    Ok(())
}

/// More keys and answers than fit into one statement are kept and found.
pub async fn a_store_remembers_thousands_of_requests(database: &Database) -> Checked {
    const REQUESTS: u64 = 12_000;
    let world = World::start(database, WriterSettings::default()).await?;
    let keys: Vec<RequestKey> = (0..REQUESTS)
        .map(|id| RequestKey {
            party: format!("P{}", id % 3),
            rpc: "Import".into(),
            request_id: id.to_string(),
        })
        .collect();
    let print = |key: &RequestKey| fingerprint([key.request_id.as_bytes()]);
    let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
    tx.look_up(&keys).await?;
    for key in keys.iter().skip(1) {
        assert_eq!(tx.outcome(key, &print(key))?, Outcome::New);
        tx.keep(key, print(key), key.request_id.clone().into_bytes())?;
    }
    tx.commit().await?;

    let mut tx = world.store.begin_write(Timestamp::from_micros(2)).await?;
    tx.look_up(&keys).await?;
    assert_eq!(tx.outcome(&keys[0], &print(&keys[0]))?, Outcome::New);
    for key in keys.iter().skip(1) {
        let answer = key.request_id.clone().into_bytes();
        assert_eq!(tx.outcome(key, &print(key))?, Outcome::Replay(answer));
        assert_eq!(tx.outcome(key, &[0; 32])?, Outcome::Reused);
    }
    // Misuse is an error and never a second answer.
    assert!(tx.keep(&keys[1], [0; 32], Vec::new()).is_err());
    let unknown = RequestKey {
        party: "elsewhere".to_owned(),
        ..keys[0].clone()
    };
    assert!(tx.outcome(&unknown, &[0; 32]).is_err());
    Ok(())
}

/// Of several replicas that take the same step one moves the cursor; the others write no effects.
/// A cursor whose transaction is undone has not moved.
pub async fn cursors_move_by_compare_and_set(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let epoch = log::random_epoch();
    let at = |sequence: u8| -> Result<Cursor, crate::StoreError> {
        Ok(Cursor {
            position: Position {
                log: ledger_log()?,
                epoch,
                sequence: sequence.into(),
            },
            hash: [sequence; 32],
        })
    };
    let mut from: Option<Cursor> = None;
    for step in 1..=3 {
        let to = at(step)?;
        let replicas: Vec<_> = (0..8)
            .map(|_| {
                let (store, from, to) = (world.store.clone(), from.clone(), to.clone());
                tokio::spawn(async move {
                    let mut tx = store.begin_write(Timestamp::from_micros(1)).await?;
                    let advance = cursor::advance(tx.conn(), "replica", from.as_ref(), &to).await?;
                    tx.commit().await?;
                    Ok::<_, crate::StoreError>(advance)
                })
            })
            .collect();
        let mut moved = 0;
        for replica in replicas {
            moved += usize::from(replica.await?? == Advance::Moved);
        }
        assert_eq!(moved, 1, "step {step}");
        let stored = cursor::get(&mut *world.store.readers().acquire().await?, "replica").await?;
        assert_eq!(stored.as_ref(), Some(&to));
        from = stored;
    }
    let mut tx = world.store.begin_write(Timestamp::from_micros(1)).await?;
    let advance = cursor::advance(tx.conn(), "replica", from.as_ref(), &at(9)?).await?;
    assert_eq!(advance, Advance::Moved);
    drop(tx);
    let mut conn = world.store.readers().acquire().await?;
    assert_eq!(cursor::get(&mut conn, "replica").await?, from);
    assert_eq!(cursor::get(&mut conn, "nobody").await?, None);
    Ok(())
}
