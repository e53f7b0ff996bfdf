//! What a follower is handed, and what it is kept from.

use std::time::{Duration, Instant};

use mesh_api::common::v1::{self as common, ErrorReason, stream_frame::Frame};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::status::refusal;
use mesh_follow::{Begin, FollowerStatus};
use mesh_testkit::wait_until;
use tonic::{Code, Status};

use crate::harness::{Chain, Following, Record, Step, at_once, place};

fn events(count: usize) -> Chain {
    Chain::new(
        7,
        (0..count).map(|number| format!("event {number}").into_bytes()),
    )
}

/// Event 1, then `bad`: it must not be applied, and a new stream must begin after event 1.
async fn check_refused(what: &str, chain: &Chain, bad: Vec<Step>) {
    let good = chain.clone();
    let following =
        Following::begin(
            Begin::After(chain.cursors[0].clone()),
            move |number, _| match number {
                0 => {
                    let mut steps = vec![good.hello(), good.entries([1])];
                    steps.extend(bad.clone());
                    steps.extend([good.checkpoint(1), Step::Hang]);
                    steps
                }
                _ => vec![
                    good.hello(),
                    good.entries([2, 3]),
                    good.checkpoint(3),
                    Step::Hang,
                ],
            },
        )
        .await;
    let (applied, starts) = following.until(3).await;
    assert_eq!(applied, [1, 2, 3], "{what}");
    assert_eq!(starts, [Some(0), Some(1)], "{what}");
}

#[tokio::test]
async fn what_does_not_continue_the_log_is_refused() {
    let chain = events(3);
    let spoil = |sequence, spoil: &dyn Fn(&mut common::LogEntry)| {
        let mut entry = chain.entry(sequence);
        spoil(&mut entry);
        vec![Step::entries(vec![entry])]
    };
    let other = Chain::new(8, [b"event 0".to_vec(), b"event 1".to_vec()]);
    for (what, bad) in [
        ("a gap", vec![chain.entries([3])]),
        ("a gap within a frame", vec![chain.entries([2, 2])]),
        ("an event twice", vec![chain.entries([1])]),
        ("a wrong hash", spoil(2, &|e| e.hash = chain.entry(3).hash)),
        (
            "a wrong previous hash",
            spoil(2, &|e| {
                e.previous_hash = chain.entry(1).previous_hash;
            }),
        ),
        (
            "another event",
            spoil(2, &|e| e.event = chain.entry(3).event),
        ),
        ("no position", spoil(2, &|e| e.position = None)),
        (
            "a position that is none",
            spoil(2, &|e| e.position.as_mut().unwrap().epoch = 0),
        ),
        ("another history", vec![other.entries([2])]),
    ] {
        check_refused(what, &chain, bad).await;
    }
}

#[tokio::test]
async fn frames_out_of_turn_are_refused() {
    let chain = events(3);
    let other = Chain::new(8, []);
    for (what, bad) in [
        ("a checkpoint ahead of its events", chain.checkpoint(2)),
        ("a checkpoint behind its events", chain.checkpoint(0)),
        ("a checkpoint of another history", other.checkpoint(1)),
        (
            "a checkpoint that does not say when",
            Step::Frame(Frame::Checkpoint(common::Checkpoint {
                position: chain.entry(1).position,
                time: None,
                source_stale_since: None,
            })),
        ),
        ("a second hello", chain.hello()),
        (
            "a snapshot that nobody asked for",
            Step::Part(wire::PartySnapshot::default()),
        ),
        (
            "the end of a snapshot that nobody asked for",
            chain.complete(3, 0),
        ),
    ] {
        check_refused(what, &chain, vec![bad]).await;
    }
    let first = chain.clone();
    let following =
        Following::begin(
            Begin::After(chain.cursors[0].clone()),
            move |number, _| match number {
                0 => vec![first.entries([1]), Step::Hang],
                _ => vec![
                    first.hello(),
                    first.entries([1]),
                    first.checkpoint(1),
                    Step::Hang,
                ],
            },
        )
        .await;
    let (applied, starts) = following.until(1).await;
    assert_eq!(
        (applied, starts),
        (vec![1], vec![Some(0), Some(0)]),
        "no hello"
    );
}

#[tokio::test]
async fn what_has_come_is_applied_together_up_to_a_bound() {
    let chain = events(600);
    let mut steps = vec![chain.hello(), chain.entries([1])];
    steps.extend([
        chain.checkpoint(1),
        chain.entries([]),
        chain.entries([2, 3]),
    ]);
    steps.extend((4..600).map(|sequence| chain.entries([sequence])));
    steps.extend([chain.entries([600]), chain.checkpoint(600)]);
    let client = PartyServiceClient::new(at_once(steps));
    let begin = Begin::After(chain.cursors[0].clone());
    let following = Following::of(begin, Record::default(), move || client.clone());
    following.checkpoint(600).await;
    let together = following.record.lock().unwrap().together.clone();
    assert_eq!(together, [1, 256, 256, 87]);
    let (applied, _) = following.stop().await;
    assert_eq!(applied, (1..=600).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_came_before_a_stream_failed_is_applied() {
    let chain = events(3);
    for bad in [chain.entries([1]), chain.checkpoint(3), chain.hello()] {
        let steps = vec![chain.hello(), chain.entries([1]), chain.entries([2]), bad];
        let client = PartyServiceClient::new(at_once(steps));
        let begin = Begin::After(chain.cursors[0].clone());
        let following = Following::of(begin, Record::default(), move || client.clone());
        wait_until("the second attempt", async || {
            let starts = following.seen().len();
            if starts > 1 { Ok(()) } else { Err(starts) }
        })
        .await;
        let (applied, starts) = following.stop().await;
        assert_eq!(
            (applied, &starts[..2]),
            (vec![1, 2], &[Some(0), Some(2)][..])
        );
    }
}

#[tokio::test]
async fn who_rests_misses_nothing_and_does_not_rest_behind_full_frames() {
    let chain = events(512);
    let frames = |ends: &[usize]| {
        let mut steps = vec![chain.hello()];
        let mut first = 1;
        for &end in ends {
            steps.push(chain.entries(first..=end));
            steps.push(chain.checkpoint(end as u64));
            first = end + 1;
        }
        steps
    };
    let rested = async |ends: &[usize], rest: Duration| {
        let client = PartyServiceClient::new(at_once(frames(ends)));
        let record = Record {
            rest,
            ..Record::default()
        };
        let begin = Begin::After(chain.cursors[0].clone());
        let following = Following::of(begin, record, move || client.clone());
        let before = Instant::now();
        following.checkpoint(512).await;
        let (applied, _) = following.stop().await;
        assert_eq!(applied, (1..=512).collect::<Vec<_>>());
        before.elapsed()
    };
    let rest = Duration::from_millis(200);
    assert!(rested(&[1, 2, 512], rest).await >= 2 * rest);
    // It would never end.
    rested(&[256, 512], Duration::from_hours(1)).await;
}

#[tokio::test]
async fn a_snapshot_is_whole_before_the_tail_begins() {
    let chain = events(3);
    let other = Chain::new(8, [vec![], vec![]]);
    let script = chain.clone();
    let part = || {
        Step::Part(wire::PartySnapshot {
            parties: vec![wire::Party::default()],
        })
    };
    let following = Following::begin(Begin::Snapshot, move |number, _| match number {
        0 => vec![script.hello(), part(), script.entries([1]), Step::Hang],
        1 => vec![script.hello(), part(), script.checkpoint(0), Step::Hang],
        2 => vec![script.hello(), part(), other.complete(2, 1), Step::Hang],
        3 => vec![script.hello(), part(), script.complete(2, 2), Step::Hang],
        _ => vec![
            script.hello(),
            part(),
            script.complete(2, 1),
            script.entries([3]),
            script.checkpoint(3),
            Step::Hang,
        ],
    })
    .await;
    following.checkpoint(3).await;
    assert_eq!(following.record.lock().unwrap().parts, 5);
    let (applied, starts) = following.stop().await;
    assert_eq!((applied, starts), (vec![3], vec![None; 5]));
}

#[tokio::test]
async fn cuts_anywhere_leave_each_event_applied_once() {
    let chain = events(60);
    let script = chain.clone();
    let following = Following::begin(
        Begin::After(chain.cursors[0].clone()),
        move |number, start| {
            let after = usize::try_from(place(start).unwrap()).unwrap();
            let end = (after + 1 + number * 5).min(60);
            let mut steps = vec![script.hello(), script.entries(after + 1..=end)];
            match (end, number % 3) {
                (60, _) => steps.extend([script.checkpoint(60), Step::Hang]),
                (_, 0) => steps.push(Step::Fail(Status::unavailable("cut"))),
                (_, 1) => steps.push(Step::Frame(Frame::Draining(common::Draining::default()))),
                // The stream just ends.
                _ => steps.push(script.checkpoint(end as u64)),
            }
            steps
        },
    )
    .await;
    let (applied, starts) = following.until(60).await;
    assert_eq!(applied, (1..=60).collect::<Vec<_>>());
    assert!(starts.len() > 4, "{starts:?}");
}

#[tokio::test]
async fn a_follower_that_has_nothing_begins_with_the_first_event() {
    let chain = events(3);
    let script = chain.clone();
    let following = Following::begin(Begin::Start, move |_, start| {
        let tail = place(start).is_some();
        let rest = tail.then(|| [script.entries([1, 2, 3]), script.checkpoint(3)]);
        let mut steps = vec![script.hello()];
        steps.extend(rest.into_iter().flatten());
        steps.push(Step::Hang);
        steps
    })
    .await;
    let (applied, starts) = following.until(3).await;
    // The first stream only tells which history there is.
    assert_eq!((applied, starts), (vec![1, 2, 3], vec![None, Some(0)]));
}

#[tokio::test]
async fn a_follower_that_cannot_go_on_says_so() {
    let chain = events(3);
    let script = chain.clone();
    let begin = Begin::After(chain.cursors[0].clone());
    let following = Following::begin(begin, move |_, _| {
        vec![script.hello(), script.entries([1]), script.entries([3])]
    })
    .await;
    let status = following.becomes("malformed").await;
    let FollowerStatus::Malformed { what, .. } = status else {
        panic!("{status:?}");
    };
    assert_eq!(what, "an event is missing or comes twice");
    let (applied, _) = following.stop().await;
    assert_eq!(applied, [1]);
}

#[tokio::test]
async fn a_stream_without_a_sign_of_life_is_given_up() {
    let chain = events(1);
    let script = chain.clone();
    let following =
        Following::begin(
            Begin::After(chain.cursors[0].clone()),
            move |number, _| match number {
                0 => vec![script.hello_with(10), Step::Hang],
                _ => vec![
                    script.hello(),
                    script.entries([1]),
                    script.checkpoint(1),
                    Step::Hang,
                ],
            },
        )
        .await;
    following.checkpoint(1).await;
    assert_eq!(following.record.lock().unwrap().disconnected, 1);
    let (applied, starts) = following.stop().await;
    assert_eq!((applied, starts), (vec![1], vec![Some(0), Some(0)]));
}

#[tokio::test]
async fn a_follower_that_is_stale_is_asked_again_where_to_begin() {
    let chain = events(2);
    let script = chain.clone();
    let record = Record {
        stale: 1,
        ..Record::default()
    };
    let begin = Begin::After(chain.cursors[0].clone());
    let following = Following::with(begin, record, move |_, _| {
        vec![
            script.hello(),
            script.entries([1, 2]),
            script.checkpoint(2),
            Step::Hang,
        ]
    })
    .await;
    let (applied, starts) = following.until(2).await;
    assert_eq!((applied, starts), (vec![1, 2], vec![Some(0), Some(0)]));
}

#[tokio::test]
async fn another_history_is_told_to_the_follower() {
    let old = events(2);
    let new = Chain::new(9, [vec![1], vec![2], vec![3]]);
    let following =
        Following::begin(
            Begin::After(old.cursors[2].clone()),
            move |_, start| match place(start) {
                Some(_) => vec![Step::Fail(refusal(
                    Code::FailedPrecondition,
                    ErrorReason::PositionOfAnotherEpoch,
                    "another",
                ))],
                None => vec![
                    new.hello(),
                    new.complete(2, 0),
                    new.entries([3]),
                    new.checkpoint(3),
                    Step::Hang,
                ],
            },
        )
        .await;
    following.checkpoint(3).await;
    assert_eq!(following.record.lock().unwrap().other_histories, 1);
    let (applied, starts) = following.stop().await;
    assert_eq!((applied, starts), (vec![3], vec![Some(2), None]));
}
