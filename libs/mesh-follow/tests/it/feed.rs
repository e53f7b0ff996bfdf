//! What a reader is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_api::common::v1::{ErrorReason, LogEntry};
use mesh_api::convert::position_to_wire;
use mesh_api::csp_notification::v1::CspFlagChange;
use mesh_api::status::reason_of;
use mesh_follow::{AsOf, Feed, FeedSettings, Start};
use mesh_types::chain::{self, Hash};
use mesh_types::{Epoch, ManualClock, Position, Sequence, SystemClock, Timestamp};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::harness::{Gate, Got, Items, Reader, TestLog, TestServer, item};

/// A reader's own copy of what holds.
struct Copy {
    items: Items,
    at: Sequence,
    hash: Hash,
}

impl Copy {
    /// Reads a snapshot.
    async fn of_snapshot(reader: &mut Reader) -> Self {
        let Got::Hello(head) = reader.next().await else {
            panic!("the hello comes first");
        };
        let mut items = Items::new();
        loop {
            match reader.next().await {
                Got::Part(part) => {
                    let part = part.into_iter();
                    items.extend(part.map(|item| (item.device_id, item.communications_hub_id)));
                }
                Got::Complete {
                    position,
                    hash,
                    items: count,
                } => {
                    assert_eq!(items.len() as u64, count);
                    assert!(position.comparable(&head) && position.sequence <= head.sequence);
                    let (at, hash) = (position.sequence, hash.try_into().unwrap());
                    return Self { items, at, hash };
                }
                other => panic!("{other:?} within a snapshot"),
            }
        }
    }

    /// Takes entries over, which must continue what is there.
    fn take(&mut self, entries: Vec<LogEntry>) {
        assert!(!entries.is_empty() && entries.len() <= 256);
        for entry in entries {
            self.at += 1;
            assert_eq!(entry.position.unwrap().sequence, self.at);
            assert_eq!(entry.previous_hash.as_ref(), self.hash);
            self.hash = chain::link(&self.hash, self.at, &entry.event);
            assert_eq!(entry.hash.as_ref(), self.hash);
            let event = CspFlagChange::decode(entry.event).unwrap();
            match event.communications_hub_id {
                hub if hub.is_empty() => self.items.remove(&event.device_id),
                hub => self.items.insert(event.device_id, hub),
            };
        }
    }

    /// Goes on until a checkpoint at `at` or later.
    async fn until(&mut self, reader: &mut Reader, at: Sequence) {
        loop {
            match reader.next().await {
                Got::Entries(entries) => self.take(entries),
                Got::Checkpoint(checkpoint) => {
                    assert_eq!(checkpoint, self.at, "a checkpoint beside its events");
                    if checkpoint >= at {
                        return;
                    }
                }
                other => panic!("{other:?} in the tail"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn snapshot_and_tail_have_no_seam_while_a_writer_runs() {
    let log = TestLog::with_events(50).await;
    let server = TestServer::start(&log).await;
    let enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, enough) = (log.clone(), Arc::clone(&enough));
        async move {
            let mut last = 0;
            for number in 0.. {
                if enough.load(Ordering::SeqCst) {
                    break;
                }
                let hub = (number % 3 > 0).then(|| format!("hub-{number}"));
                last = log.put(&item(number * 7 % 60), hub.as_deref()).await;
            }
            last
        }
    });
    for _ in 0..15 {
        let mut reader = server.open(Start::Snapshot).await.unwrap();
        let mut copy = Copy::of_snapshot(&mut reader).await;
        assert_eq!(
            copy.items,
            log.items_at(copy.at).await,
            "snapshot at {}",
            copy.at
        );
        let goal = copy.at + 20;
        copy.until(&mut reader, goal).await;
        assert_eq!(
            copy.items,
            log.items_at(copy.at).await,
            "tail at {}",
            copy.at
        );
    }
    enough.store(true, Ordering::SeqCst);
    let last = writer.await.unwrap();
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    let mut copy = Copy::of_snapshot(&mut reader).await;
    copy.until(&mut reader, last).await;
    assert_eq!(copy.at, last);
}

#[tokio::test]
async fn a_snapshot_shows_an_earlier_position_and_the_tail_goes_on_from_there() {
    let log = TestLog::with_events(9).await;
    log.put(&item(3), None).await;
    log.put(&item(4), Some("elsewhere")).await;
    let server = TestServer::start(&log).await;
    let head = log.head().await;
    for at in [0, 1, 9, 10, 11] {
        let mut reader = server.open(Start::SnapshotAt(head.at(at))).await.unwrap();
        let mut copy = Copy::of_snapshot(&mut reader).await;
        assert_eq!((copy.at, &copy.items), (at, &log.items_at(at).await));
        copy.until(&mut reader, 11).await;
        assert_eq!(copy.items, log.items_at(11).await);
    }
    // One that is about to be reached is waited for, and none for ever.
    let name = item(0);
    let next = server.open(Start::SnapshotAt(head.at(12)));
    let (reader, _) = tokio::join!(next, log.put(&name, None));
    let copy = Copy::of_snapshot(&mut reader.unwrap()).await;
    assert_eq!(copy.items, log.items_at(12).await);
    let epoch = Epoch::new(head.epoch.get() ^ 1).unwrap();
    for (position, reason) in [
        (head.at(13), ErrorReason::PositionNotReached),
        (
            Position { epoch, ..head },
            ErrorReason::PositionOfAnotherEpoch,
        ),
    ] {
        let refused = server
            .open(Start::SnapshotAt(position))
            .await
            .err()
            .unwrap();
        assert_eq!(reason_of(&refused), Some(reason));
    }
}

#[tokio::test]
async fn a_quiet_stream_goes_on_with_checkpoints() {
    let log = TestLog::with_events(3).await;
    let settings = FeedSettings {
        checkpoint_interval: Duration::from_millis(20),
        ..FeedSettings::default()
    };
    let server = TestServer::start_with(&log, settings, Gate::open()).await;
    let mut reader = server.open(Start::After(log.head().await)).await.unwrap();
    assert!(matches!(reader.next().await, Got::Hello(_)));
    for _ in 0..5 {
        let got = reader.next().await;
        assert!(matches!(got, Got::Checkpoint(3)), "{got:?}");
    }
}

#[tokio::test]
async fn a_commit_wakes_a_stream_that_waits() {
    let log = TestLog::with_events(3).await;
    let settings = FeedSettings {
        checkpoint_interval: Duration::from_secs(3600),
        poll_interval: Duration::from_secs(3600),
        ..FeedSettings::default()
    };
    let server = TestServer::start_with(&log, settings, Gate::open()).await;
    let mut reader = server.open(Start::After(log.head().await)).await.unwrap();
    assert_eq!(reader.sequences_until(3).await, [] as [u64; 0]);
    log.put(&item(0), None).await;
    // Whoever was behind learns at once that it no longer is.
    assert_eq!(reader.sequences_until(4).await, [4]);
}

#[tokio::test]
async fn a_stream_resumes_after_any_position() {
    let log = TestLog::with_events(5).await;
    let server = TestServer::start(&log).await;
    let head = log.head().await;
    for after in 0..=5 {
        let position = Position {
            sequence: after,
            ..head.clone()
        };
        let mut reader = server.open(Start::After(position)).await.unwrap();
        let expected: Vec<_> = (after + 1..=5).collect();
        assert_eq!(reader.sequences_until(5).await, expected);
    }
}

#[tokio::test]
async fn a_position_of_another_history_or_beyond_the_head_is_refused() {
    let log = TestLog::with_events(5).await;
    let server = TestServer::start(&log).await;
    let head = log.head().await;
    let epoch = Epoch::new(head.epoch.get() ^ 1).unwrap();
    for (position, code, reason) in [
        (
            Position {
                epoch,
                ..head.clone()
            },
            Code::FailedPrecondition,
            ErrorReason::PositionOfAnotherEpoch,
        ),
        (
            Position {
                log: "csp/south".parse().unwrap(),
                ..head.clone()
            },
            Code::FailedPrecondition,
            ErrorReason::PositionOfAnotherEpoch,
        ),
        (
            Position {
                sequence: 6,
                ..head.clone()
            },
            Code::OutOfRange,
            ErrorReason::PositionNotReached,
        ),
    ] {
        let refused = server.open(Start::After(position)).await.err().unwrap();
        assert_eq!((refused.code(), reason_of(&refused)), (code, Some(reason)));
    }
    server.live(0).await;
}

#[tokio::test]
async fn a_reader_that_leaves_ends_its_stream() {
    let log = TestLog::with_events(1).await;
    let server = TestServer::start(&log).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    reader.sequences_until(1).await;
    server.live(1).await;
    drop(reader);
    server.live(0).await;
}

#[tokio::test]
async fn reads_wait_for_a_position_and_not_for_ever() {
    let log = TestLog::with_events(2).await;
    let feed = Feed::new(
        log.store.clone(),
        log.name.clone(),
        Arc::new(SystemClock),
        CancellationToken::new(),
    );
    let head = position_to_wire(&log.head().await);
    let at = |sequence| mesh_api::common::v1::Position {
        sequence,
        ..head.clone()
    };
    feed.wait_for(None).await.unwrap();
    feed.wait_for(Some(&at(2))).await.unwrap();
    let third = at(3);
    let name = item(0);
    let (waited, _) = tokio::join!(feed.wait_for(Some(&third)), log.put(&name, None));
    waited.unwrap();
    let mut other = at(1);
    other.epoch ^= 1;
    let refused = feed.wait_for(Some(&other)).await.unwrap_err();
    assert_eq!(
        reason_of(&refused),
        Some(ErrorReason::PositionOfAnotherEpoch)
    );
    other.epoch = 0;
    let refused = feed.wait_for(Some(&other)).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::FieldInvalid));
    let refused = feed.wait_for(Some(&at(4))).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::PositionNotReached));
}

#[tokio::test]
async fn reads_show_what_they_ask_for() {
    let log = TestLog::with_events(2).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(3)));
    let feed = Feed::new(
        log.store.clone(),
        log.name.clone(),
        clock.clone(),
        CancellationToken::new(),
    );
    let head = log.head().await;
    let shown = async |as_of: AsOf| {
        feed.shown(Some(&as_of))
            .await
            .map_err(|status| reason_of(&status).unwrap())
    };
    let known = |micros| AsOf::Known(Timestamp::from_micros(micros));
    assert_eq!(feed.shown(None).await.unwrap(), head);
    assert_eq!(shown(AsOf::Position(head.at(1))).await, Ok(head.at(1)));
    // The events of this log are recorded at 2.
    assert_eq!(shown(known(1)).await, Ok(head.at(0)));
    assert_eq!(shown(known(2)).await, Ok(head.clone()));
    assert_eq!(shown(known(3)).await, Err(ErrorReason::FieldInvalid));
    let log = "flags".parse().unwrap();
    let of_another_log = AsOf::Position(Position {
        log,
        ..head.clone()
    });
    assert_eq!(shown(of_another_log).await, Err(ErrorReason::FieldInvalid));
    let beyond = AsOf::Position(head.at(3));
    assert_eq!(shown(beyond).await, Err(ErrorReason::PositionNotReached));
}
