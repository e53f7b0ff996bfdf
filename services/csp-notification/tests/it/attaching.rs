//! Where a CSP's stream begins.

use mesh_api::common::v1::{ErrorReason, Position, SnapshotStart};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::status::reason_of;

use crate::stream::{Got, sequences};
use crate::world::{World, acknowledged, set, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_csp_that_nothing_concerns_yet_has_an_empty_log() {
    let world = World::start().await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    assert_eq!(
        (north.head.log.as_str(), north.head.sequence),
        ("csp/north", 0)
    );
    assert!(matches!(north.next().await, Got::Complete(0)));
    assert!(matches!(north.next().await, Got::Checkpoint(0)));
    world.flags.append(&set(1, "south")).await;
    world.flags.append(&set(2, "north")).await;
    let changes = north.until(1).await;
    assert_eq!(sequences(&changes), [1]);
    assert_eq!(changes[0].flag_position.as_ref().unwrap().sequence, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_after_a_position_or_after_what_was_acknowledged() {
    let world = World::start().await;
    world.set("north", 0, 5).await;
    let mut all = world.attach("north", acknowledged()).await.unwrap();
    assert_eq!(sequences(&all.until(5).await), [1, 2, 3, 4, 5]);
    let at = |sequence| Position {
        sequence,
        ..all.head.clone()
    };
    world.acknowledge("north", at(3)).await.unwrap();
    let mut rest = world.attach("north", acknowledged()).await.unwrap();
    assert_eq!(sequences(&rest.until(5).await), [4, 5]);
    let mut last = world.attach("north", Start::After(at(4))).await.unwrap();
    assert_eq!(sequences(&last.until(5).await), [5]);

    let mut other = at(4);
    other.epoch ^= 1;
    let mut none = at(4);
    none.epoch = 0;
    for (start, reason) in [
        (Some(Start::After(at(6))), ErrorReason::PositionNotReached),
        (
            Some(Start::After(other)),
            ErrorReason::PositionOfAnotherEpoch,
        ),
        (Some(Start::After(none)), ErrorReason::FieldInvalid),
        (None, ErrorReason::FieldInvalid),
    ] {
        let request = wire::FollowFlagChangesRequest {
            csp_id: "north".into(),
            start,
            seen: None,
        };
        let refused = world.csp("north").follow_flag_changes(request).await;
        assert_eq!(reason_of(&refused.unwrap_err()), Some(reason));
    }
    // None of these took the stream over.
    world.flags.append(&set(9, "north")).await;
    assert_eq!(sequences(&last.until(6).await), [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_with_the_snapshot_of_an_earlier_position() {
    let world = World::start().await;
    world.set("north", 0, 3).await;
    let snapshot_at = |position| {
        let position = Some(position);
        Start::Snapshot(SnapshotStart { position })
    };
    let head = world.subscription("north").await.head.unwrap();
    let second = Position {
        sequence: 2,
        ..head.clone()
    };
    let mut stream = world.attach("north", snapshot_at(second)).await.unwrap();
    let Got::Devices(devices) = stream.next().await else {
        panic!("two Devices were reduced by then");
    };
    assert_eq!(devices.len(), 2);
    assert!(matches!(stream.next().await, Got::Complete(2)));
    assert_eq!(sequences(&stream.until(3).await), [3]);
    let elsewhere = Position {
        epoch: head.epoch ^ 1,
        ..head
    };
    let refused = world.attach("north", snapshot_at(elsewhere)).await;
    let refused = reason_of(&refused.err().unwrap());
    assert_eq!(refused, Some(ErrorReason::PositionOfAnotherEpoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_another_csp_is_refused() {
    let world = World::start().await;
    world.set("north", 0, 1).await;
    let up_to = world.subscription("north").await.head;
    let csp_id = || "north".to_owned();
    for (mut client, reason) in [
        (world.csp("south"), ErrorReason::NotOwnData),
        (world.supplier(), ErrorReason::RoleNotPermitted),
    ] {
        let follow = wire::FollowFlagChangesRequest {
            csp_id: csp_id(),
            start: Some(snapshot()),
            seen: None,
        };
        let acknowledge = wire::AcknowledgeFlagChangesRequest {
            csp_id: csp_id(),
            up_to: up_to.clone(),
            applied_time: None,
        };
        let get = wire::GetSubscriptionRequest { csp_id: csp_id() };
        let refusals = [
            client.follow_flag_changes(follow).await.err(),
            client.acknowledge_flag_changes(acknowledge).await.err(),
            client.get_subscription(get).await.err(),
        ];
        for refused in refusals {
            assert_eq!(reason_of(&refused.unwrap()), Some(reason));
        }
    }
    // An operator sees how far a CSP is, and does not read its stream.
    let follow = wire::FollowFlagChangesRequest {
        csp_id: csp_id(),
        start: Some(snapshot()),
        seen: None,
    };
    let refused = world.internal("operator").follow_flag_changes(follow).await;
    assert_eq!(
        reason_of(&refused.unwrap_err()),
        Some(ErrorReason::RoleNotPermitted)
    );
}
