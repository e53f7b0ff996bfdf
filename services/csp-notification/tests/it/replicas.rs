//! Two replicas on one database: a CSP has one stream, whichever of them serves it.

use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::csp_notification::v1::AcknowledgeFlagChangesRequest;
use mesh_api::status::reason_of;
use mesh_testkit::postgres;
use tonic::{Code, Status};

use crate::promptness;
use crate::stream::{Attached, sequences};
use crate::world::{Client, World, acknowledged, set, snapshot};

/// Reads a stream to its end, and says why that is.
async fn ended(mut stream: Attached) -> Status {
    loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if nothing was the matter"),
            Err(status) => return status,
        }
    }
}

async fn is_superseded(older: Attached) {
    let ended = ended(older).await;
    assert_eq!(ended.code(), Code::Aborted);
    assert_eq!(reason_of(&ended), Some(ErrorReason::Superseded));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_stream_ends_the_other_replicas() {
    let Some(database) = postgres::database() else {
        return;
    };
    let mut world = World::start_two(&database).await;
    world.set("north", 0, 3).await;
    let mut on_first = world.attach("north", acknowledged()).await.unwrap();
    assert_eq!(sequences(&on_first.until(3).await), [1, 2, 3]);
    let second = Position {
        sequence: 2,
        ..on_first.head.clone()
    };
    world.acknowledge("north", second).await.unwrap();
    world.swap();
    assert!(world.subscription("north").await.attached);

    let mut on_second = world.attach("north", acknowledged()).await.unwrap();
    // It was idle, and nothing was to be sent on it.
    is_superseded(on_first).await;
    assert_eq!(sequences(&on_second.until(3).await), [3]);
    world.flags.append(&set(3, "north")).await;
    assert_eq!(sequences(&on_second.until(4).await), [4]);
    world.swap();
    assert!(world.subscription("north").await.attached);
    drop(on_second);
    world.is_detached("north").await;
}

/// What a CSP gets from one replica after another is each event once, while both follow `flags`.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_and_nothing_comes_twice_behind_the_acknowledgement() {
    let Some(database) = postgres::database() else {
        return;
    };
    let mut world = World::start_two(&database).await;
    let mut got = Vec::new();
    let mut older: Option<Attached> = None;
    for round in 0..6_u8 {
        let mut stream = world.attach("north", acknowledged()).await.unwrap();
        // It may still have been sending.
        if let Some(older) = older.take() {
            is_superseded(older).await;
        }
        for number in 0..4 {
            world.flags.append(&set(round * 4 + number, "north")).await;
        }
        let up_to = u64::from(round + 1) * 4;
        got.extend(sequences(&stream.until(up_to - 1).await));
        let seen = *got.last().unwrap();
        let seen = Position {
            sequence: seen,
            ..stream.head.clone()
        };
        world.acknowledge("north", seen).await.unwrap();
        older = Some(stream);
        world.swap();
    }
    let mut last = world.attach("north", acknowledged()).await.unwrap();
    let to_come = 24 - got.last().unwrap();
    if to_come > 0 {
        got.extend(sequences(&last.until(24).await));
    }
    assert_eq!(got, (1..=24).collect::<Vec<_>>());
}

/// A CSP that disputes its log through one replica loses the stream that the other serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_ends_the_other_replicas_stream() {
    let Some(database) = postgres::database() else {
        return;
    };
    let mut world = World::start_two(&database).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(0).await;
    let mut seen = north.seen();
    seen.position.as_mut().unwrap().sequence = 7;
    world.swap();
    let refused = world.attach_having_seen("north", acknowledged(), Some(seen));
    let refused = refused.await.err().expect("a refusal");
    assert_eq!(reason_of(&refused), Some(ErrorReason::LogWentBack));
    let ended = ended(north).await;
    assert_eq!(reason_of(&ended), Some(ErrorReason::LogWentBack));
}

/// What two replicas are told at once is counted once.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_acknowledged_through_two_replicas_is_counted_once() {
    let Some(database) = postgres::database() else {
        return;
    };
    let mut world = World::start_two(&database).await;
    world.set("north", 0, 9).await;
    let mut stream = world.attach("north", snapshot()).await.unwrap();
    stream.until(9).await;
    let first = world.csp("north");
    world.swap();
    let second = world.csp("north");
    for sequence in [2, 3, 6, 9] {
        let acknowledge = async |mut csp: Client, sequence| {
            let request = AcknowledgeFlagChangesRequest {
                csp_id: "north".into(),
                up_to: Some(Position {
                    sequence,
                    ..stream.head.clone()
                }),
                applied_time: None,
            };
            csp.acknowledge_flag_changes(request).await.unwrap();
        };
        tokio::join!(
            acknowledge(first.clone(), sequence),
            acknowledge(second.clone(), sequence),
            acknowledge(first.clone(), sequence - 1),
        );
    }
    let rows = promptness::told(second, promptness::asked("north", promptness::now())).await;
    let row = &rows.unwrap().rows[0];
    assert_eq!((row.changes, row.acknowledged), (9, 9));
    assert_eq!(row.acknowledged_untimed, 0);
    assert_eq!(row.until_acknowledged.unwrap().changes, 9);
    assert_eq!(row.until_applied.unwrap().changes, 0);
}
