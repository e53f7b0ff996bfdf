//! The log `flags` as those downstream follow it.

use mesh_api::common::v1::{
    ErrorReason, FollowStart, Position, SnapshotStart, follow_start::Start,
};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::Cause;
use tonic::Code;

use crate::world::{LogReader, METER, OTHER_METER, World, add, get_entry, refused, remove};

fn from(start: Start) -> wire::FollowFlagsRequest {
    wire::FollowFlagsRequest {
        start: Some(FollowStart {
            start: Some(start),
            seen: None,
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_what_is_flagged_and_then_the_tail() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.flagged(OTHER_METER).await;
    let mut acme = world.acme();
    let lifted = acme.remove_flag(remove(METER)).await.unwrap().into_inner();
    let mut classification = world.internal("classification");
    let snapshot = from(Start::Snapshot(SnapshotStart::default()));
    let stream = classification.follow_flags(snapshot).await.unwrap();
    let mut reader = LogReader::new(stream.into_inner());
    reader.read_to(&lifted.position.unwrap()).await;
    assert_eq!(reader.snapshot.keys().collect::<Vec<_>>(), [OTHER_METER]);
    assert_eq!(
        reader.snapshot[OTHER_METER],
        get_entry(&mut acme, OTHER_METER).await
    );

    let added = acme.add_flag(add(METER)).await.unwrap().into_inner();
    world
        .registration
        .change_supplier(METER, "RIVAL", crate::world::NOW, "");
    let head = Position {
        sequence: added.position.as_ref().unwrap().sequence + 1,
        ..added.position.unwrap()
    };
    reader.read_to(&head).await;
    let causes: Vec<_> = reader.events.iter().map(wire::FlagEvent::cause).collect();
    assert_eq!(causes, [Cause::FlagAdded, Cause::SupplierChanged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_is_contiguous_and_chained() {
    let world = World::start().await;
    let mut position = Position::default();
    for number in 0..40_u8 {
        let device = format!("00-DB-00-00-00-00-00-{number:02X}");
        position = world.flagged(&device).await.position.unwrap();
    }
    let start = from(Start::After(Position {
        sequence: 0,
        ..position.clone()
    }));
    let mut reporting = world.internal("reporting");
    let stream = reporting.follow_flags(start).await.unwrap();
    let mut reader = LogReader::new(stream.into_inner());
    reader.read_to(&position).await;
    assert_eq!(reader.events.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_in_the_log_is_refused() {
    let world = World::start().await;
    let position = world.flagged(METER).await.position.unwrap();
    let mut classification = world.internal("classification");
    let elsewhere = Position {
        epoch: position.epoch ^ 1,
        ..position.clone()
    };
    assert_eq!(
        refused(
            classification
                .follow_flags(from(Start::After(elsewhere)))
                .await
        ),
        (
            Code::FailedPrecondition,
            ErrorReason::PositionOfAnotherEpoch
        )
    );
    let ahead = Position {
        sequence: 99,
        ..position
    };
    assert_eq!(
        refused(classification.follow_flags(from(Start::After(ahead))).await),
        (Code::OutOfRange, ErrorReason::PositionNotReached)
    );
    let nowhere = wire::FollowFlagsRequest { start: None };
    assert_eq!(
        refused(classification.follow_flags(nowhere).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    assert_eq!(
        refused(
            world
                .internal("operator")
                .follow_flags(from(Start::Snapshot(SnapshotStart::default())))
                .await
        ),
        (Code::PermissionDenied, ErrorReason::RoleNotPermitted)
    );
}
