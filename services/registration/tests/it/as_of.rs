//! What was recorded, and what was known of it when.

use std::time::Duration;

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::{
    AsOf, DeviceType, ErrorReason, FollowStart, Position, SnapshotStart, as_of::Known,
    follow_start, stream_frame::Frame,
};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::follow_parties_response::Body;
use mesh_api::registration::v1::{PartyStatus, SmiStatus};
use tonic::{Code, Status};

use crate::world::{ESME, NOW, World, at, device, instant, mpan, party, refused, request_id, row};

fn position(position: &Position) -> Option<AsOf> {
    let known = Some(Known::Position(position.clone()));
    Some(AsOf { known })
}

fn known(seconds: i64) -> Option<AsOf> {
    let known = instant(seconds).map(Known::KnownTime);
    Some(AsOf { known })
}

async fn authority(
    world: &World,
    as_of: Option<AsOf>,
    valid: Option<i64>,
) -> Result<wire::GetAuthorityResponse, Status> {
    let request = wire::GetAuthorityRequest {
        device_id: ESME.to_owned(),
        valid_time: valid.and_then(instant),
        as_of,
        ..Default::default()
    };
    let answer = world.authority().get_authority(request).await;
    answer.map(tonic::Response::into_inner)
}

/// At NOW ACME supplies the ESME since [`SINCE`](crate::world::SINCE). At NOW + 10 it is recorded that BOLT does since
/// NOW - 100, and at NOW + 20 that ACME will from NOW + 1,000 on. Returned are the positions.
async fn world() -> (World, [Position; 3]) {
    let world = World::with_inventory().await;
    let first = world.ask_at(ESME, None).await.position.unwrap();
    world.clock.set(at(NOW + 10));
    let late = world.change(mpan(1), "BOLT", Some(NOW - 100)).await;
    let late = late.unwrap().position.unwrap();
    world.clock.set(at(NOW + 20));
    let planned = world.change(mpan(1), "ACME", Some(NOW + 1_000)).await;
    let planned = planned.unwrap().position.unwrap();
    world.clock.set(at(NOW + 30));
    (world, [first, late, planned])
}

#[tokio::test]
async fn authority_is_about_an_instant_and_rests_on_what_was_known() {
    let (world, [first, late, planned]) = world().await;
    let nothing = Position {
        sequence: 0,
        ..first.clone()
    };
    for (as_of, valid, shown, about, supplier, ends) in [
        (None, None, &planned, NOW + 30, "BOLT", Some(NOW + 1_000)),
        (position(&first), None, &first, NOW, "ACME", None),
        (
            position(&first),
            Some(NOW + 30),
            &first,
            NOW + 30,
            "ACME",
            None,
        ),
        (position(&late), None, &late, NOW + 10, "BOLT", None),
        (
            position(&late),
            Some(NOW - 101),
            &late,
            NOW - 101,
            "ACME",
            Some(NOW - 100),
        ),
        (known(NOW + 9), None, &first, NOW + 9, "ACME", None),
        (known(NOW + 9), Some(NOW - 1), &first, NOW - 1, "ACME", None),
        (known(NOW + 10), None, &late, NOW + 10, "BOLT", None),
        (
            known(NOW + 29),
            None,
            &planned,
            NOW + 29,
            "BOLT",
            Some(NOW + 1_000),
        ),
        (
            known(NOW + 29),
            Some(NOW + 1_000),
            &planned,
            NOW + 1_000,
            "ACME",
            None,
        ),
        (known(NOW - 1), None, &nothing, NOW - 1, "", None),
        (position(&nothing), None, &nothing, NOW + 30, "", None),
    ] {
        let what = format!("{as_of:?} {valid:?}");
        let answer = authority(&world, as_of.clone(), valid).await.unwrap();
        assert_eq!(answer.position.as_ref(), Some(shown), "{what}");
        assert_eq!(answer.valid_time, instant(about), "{what}");
        let told = answer.authority.unwrap();
        assert_eq!(told.responsible_party_id, supplier, "{what}");
        assert_eq!(told.authority_end_time, ends.and_then(instant), "{what}");
        assert_eq!(told.device.is_some(), shown.sequence > 0, "{what}");
        let batch = wire::BatchGetAuthorityRequest {
            device_ids: vec![ESME.to_owned()],
            valid_time: valid.and_then(instant),
            as_of,
            ..Default::default()
        };
        let batch = world.authority().batch_get_authority(batch).await.unwrap();
        let batch = batch.into_inner();
        assert_eq!(batch.position.as_ref(), Some(shown), "{what}");
        let result = batch.results.into_iter().next().unwrap().result;
        assert_eq!(
            result,
            Some(wire::authority_result::Result::Authority(told))
        );
    }
    world.stop().await;
}

/// A position of `devices` says nothing of parties; a time says it of both logs.
#[tokio::test]
async fn the_status_of_a_supplier_is_what_was_known_then() {
    let (world, [_, late, _]) = world().await;
    world.set_status("BOLT", PartyStatus::Suspended).await;
    world.clock.set(at(NOW + 40));
    for (as_of, status) in [
        (None, PartyStatus::Suspended),
        (known(NOW + 30), PartyStatus::Suspended),
        (known(NOW + 29), PartyStatus::Active),
        (position(&late), PartyStatus::Unspecified),
    ] {
        let answer = authority(&world, as_of.clone(), None).await.unwrap();
        let told = answer.authority.unwrap();
        assert_eq!(told.responsible_party_id, "BOLT");
        assert_eq!(told.responsible_party_status(), status, "{as_of:?}");
    }
    let party = async |as_of| {
        let request = wire::GetPartyRequest {
            party_id: "BOLT".to_owned(),
            as_of,
        };
        let answer = world.parties("auditor").get_party(request).await;
        answer.map(|answer| answer.into_inner().party.unwrap().status())
    };
    assert_eq!(
        party(known(NOW + 30)).await.unwrap(),
        PartyStatus::Suspended
    );
    assert_eq!(party(known(NOW + 29)).await.unwrap(), PartyStatus::Active);
    let before = party(known(NOW - 1)).await.unwrap_err();
    assert_eq!(before.code(), Code::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn records_are_read_as_they_stood() {
    let (world, [first, late, planned]) = world().await;
    let mut devices = world.devices("registration-data");
    let suspended = wire::Device {
        import_mpan: mpan(1),
        export_mpan: mpan(2),
        smi_status: SmiStatus::Suspended.into(),
        ..device(ESME, DeviceType::Esme)
    };
    let put = wire::PutDeviceRequest {
        request_id: request_id(),
        device: Some(suspended),
        etag: String::new(),
    };
    devices.put_device(put).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let mut status = async |as_of| {
        let request = wire::GetDeviceRequest {
            device_id: ESME.to_owned(),
            as_of,
        };
        let answer = devices.get_device(request).await.unwrap().into_inner();
        answer.device.unwrap().smi_status()
    };
    assert_eq!(status(None).await, SmiStatus::Suspended);
    assert_eq!(status(known(NOW + 30)).await, SmiStatus::Suspended);
    assert_eq!(status(known(NOW + 29)).await, SmiStatus::Commissioned);
    assert_eq!(status(position(&planned)).await, SmiStatus::Commissioned);

    let registered = async |as_of, valid: Option<i64>| {
        let request = wire::ListRegistrationsRequest {
            mpxn: mpan(1),
            as_of,
            valid_time: valid.and_then(instant),
        };
        let answer = world.devices("auditor").list_registrations(request).await;
        let found = answer.unwrap().into_inner().registrations;
        let names = found.into_iter().map(|found| found.party_id);
        names.collect::<Vec<_>>()
    };
    assert_eq!(registered(None, None).await, ["ACME", "BOLT", "ACME"]);
    assert_eq!(registered(position(&late), None).await, ["ACME", "BOLT"]);
    assert_eq!(registered(known(NOW), None).await, ["ACME"]);
    assert_eq!(registered(None, Some(NOW - 100)).await, ["BOLT"]);
    assert_eq!(registered(None, Some(NOW + 1_000)).await, ["ACME"]);
    assert_eq!(registered(position(&first), Some(NOW)).await, ["ACME"]);
    assert_eq!(registered(None, Some(-1)).await, [""; 0]);
    world.stop().await;
}

#[tokio::test]
async fn lists_and_snapshots_show_an_earlier_position() {
    let world = World::start().await;
    let put = async |n: u8| {
        let id = format!("00-DB-00-00-00-00-00-{n:02X}");
        let request = wire::PutDeviceRequest {
            request_id: request_id(),
            device: Some(device(&id, DeviceType::Chf)),
            etag: String::new(),
        };
        let answer = world.devices("operator").put_device(request).await;
        answer.unwrap().into_inner().position.unwrap()
    };
    let mut third = put(1).await;
    for n in 2..=3 {
        third = put(n).await;
    }
    world.clock.advance(Duration::from_secs(10));
    put(4).await;
    world.clock.advance(Duration::from_secs(10));
    for as_of in [position(&third), known(NOW + 9)] {
        let mut request = wire::ListDevicesRequest {
            page_size: 2,
            as_of: as_of.clone(),
            ..Default::default()
        };
        let mut devices = world.devices("operator");
        let page = devices.list_devices(request.clone()).await.unwrap();
        let page = page.into_inner();
        assert_eq!(
            (page.devices.len(), page.position.as_ref()),
            (2, Some(&third))
        );
        request.page_token = page.next_page_token;
        let page = devices.list_devices(request.clone()).await.unwrap();
        let page = page.into_inner();
        assert_eq!((page.devices.len(), page.next_page_token.as_str()), (1, ""));
        request.as_of = known(NOW + 8);
        let other = devices.list_devices(request).await.unwrap_err();
        let invalid = (Code::InvalidArgument, Some(ErrorReason::PageTokenInvalid));
        assert_eq!(refused(&other), invalid);
    }
    let parties = wire::ListPartiesRequest {
        as_of: known(NOW),
        ..Default::default()
    };
    let none = world.parties("operator").list_parties(parties).await;
    let none = none.unwrap().into_inner();
    assert_eq!(none.parties, []);
    let row = row(party("ACME", 1, &[Role::ImportSupplier]));
    world.import(vec![row]).await.unwrap();
    let snapshot = SnapshotStart {
        position: none.position.clone(),
    };
    let request = wire::FollowPartiesRequest {
        start: Some(FollowStart {
            start: Some(follow_start::Start::Snapshot(snapshot)),
            seen: None,
        }),
    };
    let mut parties = world.parties("auditor");
    let mut stream = parties.follow_parties(request).await.unwrap().into_inner();
    let complete = loop {
        match stream.message().await.unwrap().unwrap().body.unwrap() {
            Body::Snapshot(part) => panic!("nothing was there: {part:?}"),
            Body::Frame(frame) => {
                if let Some(Frame::SnapshotComplete(complete)) = frame.frame {
                    break complete;
                }
            }
        }
    };
    assert_eq!((complete.items, complete.position), (0, none.position));
    drop(stream);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_known_is_refused() {
    let (world, [first, ..]) = world().await;
    let invalid = (Code::InvalidArgument, Some(ErrorReason::FieldInvalid));
    let elsewhere = |change: fn(&mut Position)| {
        let mut at = first.clone();
        change(&mut at);
        position(&at)
    };
    for (as_of, refusal) in [
        (Some(AsOf { known: None }), invalid),
        (known(NOW + 30), invalid),
        (known(i64::MAX), invalid),
        (elsewhere(|at| at.log = "parties".into()), invalid),
        (elsewhere(|at| at.sequence = u64::MAX), invalid),
        (
            elsewhere(|at| at.epoch ^= 1),
            (
                Code::FailedPrecondition,
                Some(ErrorReason::PositionOfAnotherEpoch),
            ),
        ),
        (
            elsewhere(|at| at.sequence = 1_000),
            (Code::OutOfRange, Some(ErrorReason::PositionNotReached)),
        ),
    ] {
        let status = authority(&world, as_of.clone(), None).await.unwrap_err();
        assert_eq!(refused(&status), refusal, "{as_of:?}");
    }
    world.stop().await;
}
