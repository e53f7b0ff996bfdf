//! Many writers at once, commands that are refused, poisoned or abandoned, and a writer that stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::ledger::{Command, Deed, No, World};
use super::{Checked, Database};
use crate::{StoreError, WriterSettings, verify};

/// 64 callers write at once, some are refused, some break a rule or the commit: the log is
/// 1, 2, 3, … without a hole and holds what was accepted and nothing else.
pub async fn positions_are_contiguous_under_concurrency(database: &Database) -> Checked {
    const CALLERS: i64 = 64;
    const EACH: i64 = 12;
    let settings = WriterSettings {
        batch_weight: 20,
        patience: Duration::from_secs(60),
        ..WriterSettings::default()
    };
    let world = World::start(database, settings).await?;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let writer = world.writer.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for item in caller * EACH..(caller + 1) * EACH {
                    let command = Command::new(item, deed(item));
                    answers.push((item, writer.submit(command).await));
                }
                answers
            })
        })
        .collect();
    let mut accepted = BTreeMap::new();
    for caller in callers {
        for (item, answer) in caller.await? {
            match (deed(item), answer) {
                (Deed::Put, Ok(Ok(sequence))) => {
                    assert_eq!(accepted.insert(sequence, item), None);
                }
                (Deed::Refuse, Ok(Err(No::Refused)))
                | (Deed::BreakRule | Deed::BreakCommit, Err(StoreError::Constraint(_))) => {}
                (deed, answer) => panic!("{deed:?} was answered {answer:?}"),
            }
        }
    }
    let sequences: Vec<u64> = accepted.keys().copied().collect();
    let expected: Vec<u64> = (1..).take(accepted.len()).collect();
    assert_eq!(sequences, expected);
    let items: Vec<i64> = accepted.into_values().collect();
    assert_eq!(world.told().await?, items);
    assert_eq!(world.items().await?, items);
    assert_eq!(world.kept().await?, i64::try_from(items.len())?);
    let head = verify::verify(world.store.readers(), &world.log).await??;
    assert_eq!(head.position.sequence, u64::try_from(items.len())?);
    Ok(())
}

fn deed(item: i64) -> Deed {
    match item % 40 {
        7 => Deed::BreakRule,
        29 => Deed::BreakCommit,
        rest if rest % 3 == 0 => Deed::Refuse,
        _ => Deed::Put,
    }
}

/// A command whose transaction fails, at once, at the commit or by a panic, leaves no event, no
/// row and no answer, moves no head and wakes nobody.
pub async fn nothing_is_written_by_halves(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    assert_eq!(world.writer.submit(Command::put(1)).await??, 1);
    for (item, deed) in [
        (2, Deed::BreakRule),
        (3, Deed::BreakCommit),
        (4, Deed::Panic),
    ] {
        let answer = world.writer.submit(Command::new(item, deed.clone())).await;
        match (&deed, &answer) {
            (Deed::Panic, Err(StoreError::Panicked))
            | (Deed::BreakRule | Deed::BreakCommit, Err(StoreError::Constraint(_))) => {}
            _ => panic!("{deed:?} was answered {answer:?}"),
        }
        assert_eq!(world.told().await?, [1]);
        assert_eq!(world.items().await?, [1]);
        assert_eq!(world.kept().await?, 1);
        assert_eq!(world.store.committed().latest(&world.log), 1);
        verify::verify(world.store.readers(), &world.log).await??;
    }
    // A request that failed was not accepted: it may be tried again under its id.
    assert_eq!(world.writer.submit(Command::put(2)).await??, 2);
    Ok(())
}

/// What one caller hands in at once is decided in its order, and one that is poisoned fails alone.
pub async fn what_is_handed_in_at_once_is_answered_one_by_one(database: &Database) -> Checked {
    // However little goes into one transaction.
    let settings = WriterSettings {
        batch_weight: 1,
        queue: 1,
        ..WriterSettings::default()
    };
    let world = World::start(database, settings).await?;
    let writer = world.writer.clone();
    assert!(writer.submit_all([]).await?.is_empty());
    for (base, poison) in [(0, Deed::Refuse), (10, Deed::BreakRule), (20, Deed::Panic)] {
        let commands = [
            Command::put(base),
            Command::new(base + 1, poison),
            Command::put(base + 2),
            Command::put(base + 2),
        ];
        let answers = writer.submit_all(commands).await?;
        let next = u64::try_from(base / 5)? + 1;
        let [
            Ok(Ok(first)),
            Ok(Err(_)) | Err(_),
            Ok(Ok(last)),
            Ok(Ok(again)),
        ] = answers.as_slice()
        else {
            panic!("{answers:?}");
        };
        assert_eq!([*first, *last, *again], [next, next + 1, next + 1]);
    }
    assert_eq!(world.told().await?, [0, 2, 10, 12, 20, 22]);
    Ok(())
}

/// In one batch with a poisoned command, the others are committed all the same.
pub async fn a_poisoned_command_fails_alone(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let mut expected = Vec::new();
    for (round, poison) in [Deed::BreakRule, Deed::BreakCommit, Deed::Panic]
        .into_iter()
        .enumerate()
    {
        let base = i64::try_from(round)? * 10;
        let answers = world
            .together([
                Command::put(base),
                Command::new(base + 1, poison),
                Command::new(base + 2, Deed::Refuse),
                Command::put(base + 3),
            ])
            .await?;
        let next = u64::try_from(expected.len())?;
        let [Ok(Ok(first)), Err(_), Ok(Err(No::Refused)), Ok(Ok(last))] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert_eq!((*first, *last), (next + 1, next + 2));
        expected.extend([base, base + 3]);
        assert_eq!(world.told().await?, expected);
        assert_eq!(world.items().await?, expected);
    }
    verify::verify(world.store.readers(), &world.log).await??;
    Ok(())
}

/// A caller who stops waiting gets no answer; its command and those beside it are applied.
pub async fn a_caller_who_leaves_changes_nothing_for_the_others(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let (gate, held) = world.hold().await;
    let first = world.queue(Command::put(1)).await;
    let leaver = world.queue(Command::put(2)).await;
    let last = world.queue(Command::put(3)).await;
    leaver.abort();
    assert!(leaver.await.is_err_and(|error| error.is_cancelled()));
    gate.open.notify_one();
    assert_eq!(held.await??, Ok(0));
    assert_eq!(first.await??, Ok(1));
    assert_eq!(last.await??, Ok(3));
    assert_eq!(world.told().await?, [1, 2, 3]);
    assert_eq!(world.items().await?, [1, 2, 3]);
    // The leaver asks again and learns what became of it.
    assert_eq!(world.writer.submit(Command::put(2)).await??, 2);
    Ok(())
}

/// A transaction that is too late to commit leaves nothing behind, and its commands are decided anew:
/// their callers notice nothing, unless it is too late again and again.
pub async fn a_batch_that_is_too_late_is_decided_anew(database: &Database) -> Checked {
    let world = World::start(database, WriterSettings::default()).await?;
    let late = |item, times| Command::new(item, Deed::Late(Arc::new(AtomicUsize::new(times))));
    let answers = world.together([Command::put(1), late(2, 1)]).await?;
    assert!(matches!(answers[..], [Ok(Ok(1)), Ok(Ok(2))]), "{answers:?}");
    let answer = world.writer.submit(late(3, usize::MAX)).await;
    assert!(matches!(answer, Err(StoreError::TooLate)), "{answer:?}");
    assert_eq!(world.writer.submit(Command::put(4)).await??, 3);
    assert_eq!(world.told().await?, [1, 2, 4]);
    assert_eq!(world.items().await?, [1, 2, 4]);
    assert_eq!(world.kept().await?, 3);
    Ok(())
}

/// With the queue full for longer than a caller's patience, the caller hears `Busy` and nothing of
/// its command is applied later.
pub async fn a_full_queue_answers_busy(database: &Database) -> Checked {
    let settings = WriterSettings {
        queue: 2,
        patience: Duration::from_millis(20),
        ..WriterSettings::default()
    };
    let world = World::start(database, settings).await?;
    let (gate, held) = world.hold().await;
    let waiting = [
        world.queue(Command::put(1)).await,
        world.queue(Command::put(2)).await,
    ];
    let answer = world.writer.submit(Command::put(3)).await;
    assert!(matches!(answer, Err(StoreError::Busy)), "{answer:?}");
    gate.open.notify_one();
    assert_eq!(held.await??, Ok(0));
    for (task, sequence) in waiting.into_iter().zip(1..) {
        assert_eq!(task.await??, Ok(sequence));
    }
    assert_eq!(world.told().await?, [1, 2]);
    Ok(())
}

/// A writer that is told to stop takes nothing new, and applies and answers all that waits.
pub async fn shutdown_finishes_what_waits(database: &Database) -> Checked {
    let settings = WriterSettings {
        batch_weight: 2,
        ..WriterSettings::default()
    };
    let mut world = World::start(database, settings).await?;
    let task = world.task.take().ok_or("the writer runs")?;
    let (gate, held) = world.hold().await;
    let mut waiting = Vec::new();
    for item in 1..=5 {
        waiting.push(world.queue(Command::put(item)).await);
    }
    let mut stopping = std::pin::pin!(task.shutdown());
    assert!(futures::poll!(&mut stopping).is_pending());
    let late = world.writer.submit(Command::put(6)).await;
    assert!(matches!(late, Err(StoreError::Stopped)), "{late:?}");
    gate.open.notify_one();
    stopping.await;
    assert_eq!(held.await??, Ok(0));
    for (task, sequence) in waiting.into_iter().zip(1..) {
        assert_eq!(task.await??, Ok(sequence));
    }
    assert_eq!(world.told().await?, [1, 2, 3, 4, 5]);
    Ok(())
}
