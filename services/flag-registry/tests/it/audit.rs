//! Who did and read what is on record, and when it has to be: on disk before the answer.

use mesh_api::audit::v1::{CallPart, CallRecord};
use mesh_api::common::v1::{
    AsOf, ErrorReason, FollowStart, SnapshotStart, as_of::Known, follow_start::Start,
};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1::{
    BatchGetFlagsRequest, FollowFlagsRequest, GetFlagRequest, ListFlagEventsRequest,
    ListFlagsRequest,
};
use mesh_audit::testing::OnDisk;
use mesh_testkit::temp_dir;

use crate::world::{METER, NOW, World, add};

const ONE: &str = "00-DB-12-34-56-78-90-D1";
const OF_MANY: &str = "00-DB-12-34-56-78-90-D2";
const LISTED: &str = "00-DB-12-34-56-78-90-D3";

/// The one record of a call of `method` that is on disk now and is about `device` alone.
async fn on_disk(world: &World, method: &str, device: &str) -> CallRecord {
    let folder = temp_dir();
    let disk = OnDisk::copy(&world.audit_path(), folder.path()).await;
    let pseudonym = disk.pseudonym(device.parse().unwrap());
    let calls = disk.calls(method);
    let about = calls
        .iter()
        .filter(|call| call.device_pseudonyms.contains(&pseudonym));
    let [call] = about.collect::<Vec<_>>()[..] else {
        panic!("{calls:?}");
    };
    CallRecord::clone(call)
}

/// Decision 28: who read whose history is on record.
#[tokio::test]
async fn a_read_of_a_history_is_on_disk_before_its_answer() {
    let world = World::start().await;
    world.flagged(ONE).await;
    let request = ListFlagEventsRequest {
        device_id: ONE.into(),
        ..Default::default()
    };
    world.acme().list_flag_events(request).await.unwrap();
    let call = on_disk(&world, "ListFlagEvents", ONE).await;
    let caller = call.caller.unwrap();
    assert_eq!((caller.party_id.as_str(), call.code), ("ACME", 0));
}

/// What a flag was is a history too, read an answer at a time.
#[tokio::test]
async fn a_read_of_the_past_is_on_disk_before_its_answer() {
    let world = World::start().await;
    for device in [ONE, OF_MANY, LISTED] {
        world.flagged(device).await;
    }
    let mut acme = world.acme();
    let request = GetFlagRequest {
        device_id: ONE.into(),
        valid_time: Some(timestamp_to_wire(NOW)),
        ..Default::default()
    };
    let answer = acme.get_flag(request).await.unwrap().into_inner();
    on_disk(&world, "GetFlag", ONE).await;
    let as_of = Some(AsOf {
        known: answer.position.map(Known::Position),
    });
    let request = BatchGetFlagsRequest {
        device_ids: vec![OF_MANY.into()],
        as_of: as_of.clone(),
        ..Default::default()
    };
    acme.batch_get_flags(request).await.unwrap();
    on_disk(&world, "BatchGetFlags", OF_MANY).await;
    let request = ListFlagsRequest {
        party_id: "ACME".into(),
        as_of,
        ..Default::default()
    };
    acme.list_flags(request).await.unwrap();
    on_disk(&world, "ListFlags", LISTED).await;
}

/// Whoever follows the log reads the history of all Devices.
#[tokio::test]
async fn whoever_follows_the_log_is_on_disk_before_the_first_frame() {
    let world = World::start().await;
    let request = FollowFlagsRequest {
        start: Some(FollowStart {
            start: Some(Start::Snapshot(SnapshotStart::default())),
            seen: None,
        }),
    };
    let stream = world.internal("auditor").follow_flags(request).await;
    let folder = temp_dir();
    let disk = OnDisk::copy(&world.audit_path(), folder.path()).await;
    let [call] = disk.calls("FollowFlags")[..] else {
        panic!("{disk:?}");
    };
    assert_eq!(call.part(), CallPart::StreamStarted);
    assert_eq!(call.caller.as_ref().unwrap().internal_role, "auditor");
    drop(stream.unwrap());
}

#[tokio::test]
async fn changes_and_refusals_are_on_record_once_the_service_has_stopped() {
    let mut world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let answer = acme.add_flag(add(METER)).await.unwrap().into_inner();
    let refused = world.internal("operator").add_flag(add(METER)).await;
    refused.unwrap_err();
    world.stop().await;
    let folder = temp_dir();
    let disk = OnDisk::copy(&world.audit_path(), folder.path()).await;
    let [added, refused] = disk.calls("AddFlag")[..] else {
        panic!("{disk:?}");
    };
    assert_eq!(added.position, answer.position);
    assert_eq!(added.caller.as_ref().unwrap().party_id, "ACME");
    let meter = disk.pseudonym(METER.parse().unwrap());
    assert_eq!(added.device_pseudonyms, [meter]);
    assert_eq!(refused.reason(), ErrorReason::RoleNotPermitted);
    assert_eq!(refused.caller.as_ref().unwrap().internal_role, "operator");
}
