//! Who did and read what is on record, and when it has to be: on disk before the answer.

use mesh_api::audit::v1::{CallPart, CallRecord, ServiceChange};
use mesh_api::common::v1::{
    AsOf, ErrorReason, FollowStart, SnapshotStart, as_of::Known, follow_start::Start,
};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1::{
    BatchGetFlagsRequest, FollowFlagsRequest, GetFlagRequest, ListFlagEventsRequest,
    ListFlagsRequest,
};
use mesh_api::status::reason_of;
use mesh_audit::testing::OnDisk;
use mesh_testkit::{SmallDisk, temp_dir, wait_until};

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

/// The disk under the audit, and not that under the flags.
#[tokio::test]
async fn while_the_disk_of_the_audit_is_full_calls_are_refused_and_afterwards_none_is_missing() {
    let Some(disk) = SmallDisk::of(4) else {
        return;
    };
    let mut world = World::with_audit_in(disk.path()).await;
    world.flagged(ONE).await;
    world.meter(OF_MANY);
    let request = GetFlagRequest {
        device_id: ONE.into(),
        valid_time: Some(timestamp_to_wire(NOW)),
        ..Default::default()
    };
    let read = async || world.acme().get_flag(request.clone()).await;
    let mut answered = 0;
    read().await.unwrap();
    answered += 1;

    disk.fill();
    // What was written before has room that is written over: it takes some more to meet the end.
    let refused = loop {
        match read().await {
            Ok(_) => answered += 1,
            Err(refused) => break refused,
        }
        assert!(answered < 10_000, "the disk never fills");
    };
    assert_eq!(reason_of(&refused), Some(ErrorReason::AuditUnavailable));
    wait_until("health says why", async || {
        match world.trouble().await.as_str() {
            "audit-cannot-be-written" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    // Nothing is done that would not be on record.
    let change = add(OF_MANY);
    let refused = world.acme().add_flag(change.clone()).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::AuditUnavailable));

    disk.make_room();
    wait_until("it recovers by itself", async || read().await).await;
    answered += 1;
    wait_until("health to say so", async || match world.trouble().await {
        none if none.is_empty() => Ok(()),
        other => Err(other),
    })
    .await;
    world.acme().add_flag(change).await.unwrap();
    assert_eq!(world.history(OF_MANY).await.len(), 1);
    world.stop().await;

    let folder = temp_dir();
    let on_disk = OnDisk::copy(&world.audit_path(), folder.path()).await;
    let reads = on_disk.calls("GetFlag").into_iter();
    let about = on_disk.pseudonym(ONE.parse().unwrap());
    let reads = reads.filter(|call| call.code == 0 && call.device_pseudonyms.contains(&about));
    // The one that met the full disk was kept, and written later.
    assert!(reads.count() >= answered);
    assert_eq!(on_disk.calls("AddFlag").len(), 2);
    let resumed = ServiceChange::RecordingResumed;
    assert!(
        on_disk.changes().contains(&resumed),
        "{:?}",
        on_disk.changes()
    );
}
