//! Followers are witnesses: what they have seen of a log, and what its owner does about it.

use std::sync::{Arc, Mutex};

use mesh_api::common::v1::{self as common, ErrorReason, follow_start::Start};
use mesh_api::convert::position_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::status::{reason_of, refusal};
use mesh_follow::Begin;
use mesh_store::cursor::Cursor;
use mesh_store::{Condition, StoreError, Trouble};
use mesh_testkit::wait_until;
use mesh_types::{Epoch, Position};
use tonic::{Code, Status};

use crate::harness::{Chain, Following, Record, Step, TestLog, TestServer, item, place};

/// What an operator's acceptance of a loss leaves in a database.
const ACCEPTED: &str = "INSERT INTO log_history \
     (log, epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason) \
     SELECT log, epoch, sequence, sequence, 77, 1, 'an operator', 'a test' FROM log_head; \
     UPDATE log_head SET epoch = 77";

async fn follow(
    server: &TestServer,
    role: &str,
    start: Start,
    seen: &Cursor,
) -> Result<(), ErrorReason> {
    let request = wire::FollowPartiesRequest {
        start: Some(common::FollowStart {
            start: Some(start),
            seen: Some(common::Seen {
                position: Some(position_to_wire(&seen.position)),
                hash: seen.hash.to_vec(),
            }),
        }),
    };
    match server.parties(role).follow_parties(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(reason_of(&status).expect("a reason")),
    }
}

fn snapshot() -> Start {
    Start::Snapshot(common::SnapshotStart::default())
}

fn after(position: &Position) -> Start {
    Start::After(position_to_wire(position))
}

fn went_back(log: &TestLog) -> Condition {
    Condition::Trouble(Trouble::WentBack {
        log: log.name.clone(),
    })
}

/// Events 4 and 5 were sent, and are lost: an older copy of the database is in place.
#[tokio::test]
async fn an_older_database_that_goes_on_is_found_out_by_its_follower() {
    let log = TestLog::with_events(3).await;
    let older = log.copy("").await;
    log.put(&item(3), Some("hub")).await;
    log.put(&item(4), Some("hub")).await;
    let server = TestServer::start(&log).await;
    let owner = Arc::new(Mutex::new(server));
    let current = Arc::clone(&owner);
    let following = Following::of(Begin::Start, Record::default(), move || {
        current.lock().unwrap().parties("classification")
    });
    following.checkpoint(5).await;
    following.becomes("following").await;

    for number in 10..20 {
        older.put(&item(number), None).await;
    }
    let restored = TestServer::start(&older).await;
    let before = std::mem::replace(&mut *owner.lock().unwrap(), restored);
    before.draining.cancel();
    wait_until("the owner to know", async || {
        let condition = older.store.condition().borrow().clone();
        match condition {
            Condition::Sound => Err("all is sound"),
            Condition::Trouble(_) => Ok(()),
        }
    })
    .await;
    assert_eq!(*older.store.condition().borrow(), went_back(&older));
    following.becomes("went-back").await;
    let refused = older
        .store
        .begin_write(mesh_types::Timestamp::from_micros(9));
    assert!(matches!(refused.await, Err(StoreError::WentBack { .. })));
    let (applied, _) = following.stop().await;
    assert_eq!(applied, [1, 2, 3, 4, 5], "nothing of the fork is applied");
}

#[tokio::test]
async fn a_service_that_has_seen_more_is_believed_however_it_starts() {
    let log = TestLog::with_events(3).await;
    let head = log.cursor().await;
    let further = Cursor {
        position: head.position.at(4),
        hash: [4; 32],
    };
    let other = Cursor {
        hash: [3; 32],
        ..head.clone()
    };
    let unknown = Cursor {
        position: Position {
            epoch: Epoch::new(1).unwrap(),
            ..head.position.clone()
        },
        ..head.clone()
    };
    for seen in [further, other, unknown] {
        for start in [snapshot(), after(&head.position)] {
            let copy = log.copy("").await;
            let server = TestServer::start(&copy).await;
            let answer = follow(&server, "reporting", start, &seen).await;
            assert_eq!(answer, Err(ErrorReason::LogWentBack), "{seen:?}");
            assert_eq!(*copy.store.condition().borrow(), went_back(&copy));
        }
    }
}

#[tokio::test]
async fn who_is_no_service_of_the_mesh_is_refused_alone() {
    let log = TestLog::with_events(3).await;
    let server = TestServer::start(&log).await;
    let mut seen = log.cursor().await;
    seen.hash = [1; 32];
    let answer = follow(&server, "auditor", snapshot(), &seen).await;
    assert_eq!(answer, Err(ErrorReason::LogWentBack));
    assert_eq!(*log.store.condition().borrow(), Condition::Sound);
    log.put(&item(3), Some("hub")).await;
    let mut reader = server.open(mesh_follow::Start::Snapshot).await.unwrap();
    reader.sequences_until(4).await;
}

#[tokio::test]
async fn a_log_that_went_back_is_followed_by_nobody() {
    let log = TestLog::with_events(3).await;
    let server = TestServer::start(&log).await;
    let head = log.cursor().await;
    let mut reader = server.open(mesh_follow::Start::Snapshot).await.unwrap();
    reader.sequences_until(3).await;
    let mut seen = head.clone();
    seen.hash = [1; 32];
    let _ = follow(&server, "reporting", snapshot(), &seen).await;
    let ended = reader.news().await.unwrap_err();
    assert_eq!(reason_of(&ended), Some(ErrorReason::LogWentBack));
    for start in [snapshot(), after(&head.position)] {
        let answer = follow(&server, "classification", start, &head).await;
        assert_eq!(answer, Err(ErrorReason::LogWentBack));
    }
    server.live(0).await;
}

#[tokio::test]
async fn what_an_operator_accepted_is_started_over() {
    let log = TestLog::with_events(3).await;
    let accepted = log.copy(ACCEPTED).await;
    let server = TestServer::start(&accepted).await;
    let mut seen = log.cursor().await;
    // What is lost cannot be compared.
    seen.position.sequence = 5;
    let role = "classification";
    let answer = follow(&server, role, after(&seen.position.at(3)), &seen).await;
    assert_eq!(answer, Err(ErrorReason::PositionOfAnotherEpoch));
    let head = accepted.head().await;
    let answer = follow(&server, role, after(&head), &seen).await;
    assert_eq!(answer, Err(ErrorReason::PositionOfAnotherEpoch));
    for anew in [snapshot(), after(&head.at(0))] {
        assert_eq!(follow(&server, role, anew, &seen).await, Ok(()));
    }
    assert_eq!(*accepted.store.condition().borrow(), Condition::Sound);
}

#[tokio::test]
async fn a_log_is_followed_from_its_first_event_through_all_its_histories() {
    let log = TestLog::with_events(3).await.copy(ACCEPTED).await;
    log.put(&item(3), Some("hub")).await;
    let server = TestServer::start(&log).await;
    let client = server.parties("classification");
    let following = Following::of(Begin::Start, Record::default(), move || client.clone());
    let (applied, _) = following.until(4).await;
    assert_eq!(applied, [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_is_seen_must_be_readable_and_of_the_log() {
    let log = TestLog::with_events(3).await;
    let server = TestServer::start(&log).await;
    let head = log.cursor().await;
    let request = |seen| wire::FollowPartiesRequest {
        start: Some(common::FollowStart {
            start: Some(snapshot()),
            seen: Some(seen),
        }),
    };
    let good = common::Seen {
        position: Some(position_to_wire(&head.position)),
        hash: head.hash.to_vec(),
    };
    let mut other = good.clone();
    other.position.as_mut().unwrap().log = "csp/south".into();
    let short = common::Seen {
        hash: vec![1; 31],
        ..good.clone()
    };
    let nowhere = common::Seen {
        position: None,
        ..good
    };
    for seen in [other, short, nowhere] {
        let asked = request(seen.clone());
        let refused = server.parties("reporting").follow_parties(asked).await;
        let reason = reason_of(&refused.unwrap_err());
        assert_eq!(reason, Some(ErrorReason::FieldInvalid), "{seen:?}");
    }
    assert_eq!(*log.store.condition().borrow(), Condition::Sound);
}

#[tokio::test]
async fn every_start_says_what_was_seen_last() {
    let old = Chain::new(7, (0..3).map(|number| vec![number]));
    let new = Chain::begun_in(7, 9, (0..4).map(|number| vec![number]));
    let script = old.clone();
    let record = Record {
        stale: 1,
        ..Record::default()
    };
    let following = Following::with(Begin::Snapshot, record, move |number, _| match number {
        // What cannot be applied was seen all the same.
        0 => vec![
            script.hello(),
            script.complete(1, 0),
            script.entries([2, 3]),
        ],
        1 => vec![Step::Fail(refusal(
            Code::FailedPrecondition,
            ErrorReason::PositionOfAnotherEpoch,
            "another",
        ))],
        2 => vec![Step::Fail(Status::unavailable("not now"))],
        3 => vec![new.hello(), new.complete(3, 0), new.entries([4])],
        _ => vec![new.hello(), new.checkpoint(4), Step::Hang],
    })
    .await;
    following.checkpoint(4).await;
    let old = Some((7, 3));
    assert_eq!(following.seen(), [None, old, old, old, Some((9, 4))]);
    let (_, starts) = following.stop().await;
    assert_eq!(starts, [None, Some(1), None, None, Some(4)]);
}

/// A follower without a cursor asks twice, for the log's epoch and for its events.
#[tokio::test]
async fn the_chain_begins_with_the_first_epoch() {
    let chain = Chain::begun_in(7, 9, [vec![1], vec![2]]);
    let following = Following::begin(Begin::Start, move |_, start| {
        let tail = place(start).is_some();
        let rest = tail.then(|| [chain.entries([1, 2]), chain.checkpoint(2), Step::Hang]);
        let mut steps = vec![chain.hello()];
        steps.extend(rest.into_iter().flatten());
        steps
    })
    .await;
    let (applied, _) = following.until(2).await;
    assert_eq!(applied, [1, 2]);
}

/// An operator wants to know all that was seen, and not what the first one saw.
#[tokio::test]
async fn what_every_follower_has_seen_is_heard() {
    let log = TestLog::with_events(3).await;
    let server = TestServer::start(&log).await;
    let head = log.cursor().await;
    for (role, sequence) in [
        ("reporting", 4),
        ("classification", 7),
        ("flag-registry", 6),
    ] {
        let seen = Cursor {
            position: head.position.at(sequence),
            hash: [1; 32],
        };
        let answer = follow(&server, role, after(&head.position), &seen).await;
        assert_eq!(answer, Err(ErrorReason::LogWentBack), "{role}");
    }
    let remembered = std::fs::read(log.witness()).unwrap();
    let remembered = String::from_utf8_lossy(&remembered);
    for role in ["reporting", "classification", "flag-registry"] {
        assert!(remembered.contains(role), "{role}: {remembered}");
    }
}

/// Each attempt begins with a hello, which shows nothing of what follows it.
#[tokio::test]
async fn a_hello_alone_ends_no_alarm() {
    let chain = Chain::new(7, (0..3).map(|number| vec![number]));
    let other = Chain::new(7, (9..12).map(|number| vec![number]));
    let following = Following::begin(Begin::Snapshot, move |number, _| match number {
        0 => vec![chain.hello(), chain.complete(1, 0), chain.entries([2])],
        1..=3 => vec![chain.hello(), other.entries([3])],
        _ => vec![Step::Hang],
    })
    .await;
    let first = following.becomes("malformed").await;
    wait_until("all attempts to be made", async || {
        match following.seen().len() {
            5.. => Ok(()),
            made => Err(made),
        }
    })
    .await;
    // Since the first of them, without a moment in which all seemed well.
    assert_eq!(following.becomes("malformed").await, first);
    following.stop().await;
}
