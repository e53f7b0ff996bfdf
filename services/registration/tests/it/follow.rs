//! Both logs as streams: snapshot, tail, and what takes effect when its time comes.

use mesh_api::common::v1::{
    FollowStart, Position, SnapshotStart, follow_start, stream_frame::Frame,
};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_api::registration::v1::{follow_devices_response, follow_parties_response};
use prost::Message as _;
use tonic::{Code, Streaming};

use crate::world::{ESME, GPF, GSME, NOW, World, at, mpan, mprn};

fn snapshot() -> Option<FollowStart> {
    Some(FollowStart {
        start: Some(follow_start::Start::Snapshot(SnapshotStart::default())),
        seen: None,
    })
}

fn after(position: Position) -> Option<FollowStart> {
    Some(FollowStart {
        start: Some(follow_start::Start::After(position)),
        seen: None,
    })
}

async fn follow(
    world: &World,
    start: Option<FollowStart>,
) -> Streaming<wire::FollowDevicesResponse> {
    let request = wire::FollowDevicesRequest { start };
    let stream = world.devices("flag-registry").follow_devices(request).await;
    stream.unwrap().into_inner()
}

/// The Devices of the snapshot, and where it ends.
async fn read_snapshot(
    stream: &mut Streaming<wire::FollowDevicesResponse>,
) -> (Vec<wire::DeviceState>, Position) {
    let mut devices = Vec::new();
    loop {
        match stream.message().await.unwrap().unwrap().body.unwrap() {
            follow_devices_response::Body::Snapshot(part) => devices.extend(part.devices),
            follow_devices_response::Body::Frame(frame) => match frame.frame.unwrap() {
                Frame::Hello(_) => {}
                Frame::SnapshotComplete(complete) => {
                    assert_eq!(complete.items, devices.len() as u64);
                    return (devices, complete.position.unwrap());
                }
                other => panic!("a snapshot goes on to its end: {other:?}"),
            },
        }
    }
}

/// The next `count` events of the tail.
async fn read_events(
    stream: &mut Streaming<wire::FollowDevicesResponse>,
    count: usize,
) -> Vec<wire::DeviceEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let body = stream.message().await.unwrap().unwrap().body.unwrap();
        let follow_devices_response::Body::Frame(frame) = body else {
            panic!("no snapshot was asked for");
        };
        if let Frame::Entries(entries) = frame.frame.unwrap() {
            for entry in entries.entries {
                let event = wire::DeviceEvent::decode(entry.event).unwrap();
                assert_eq!(entry.position.unwrap().sequence, event.sequence);
                events.push(event);
            }
        }
    }
    events
}

#[tokio::test]
async fn a_snapshot_is_followed_by_what_comes_after_it() {
    let world = World::with_inventory().await;
    let mut stream = follow(&world, snapshot()).await;
    let (devices, position) = read_snapshot(&mut stream).await;
    assert_eq!(devices.len(), 6);
    let state = |id: &str| {
        let of = |state: &&wire::DeviceState| state.device.as_ref().unwrap().device_id == id;
        let state = devices.iter().find(of).unwrap();
        (state.responsible_party_id.as_str(), state.csp_id.as_str())
    };
    assert_eq!(state(ESME), ("ACME", "north"));
    assert_eq!(state(GPF), ("GAS", "north"));

    world.change(mpan(1), "BOLT", None).await.unwrap();
    let events = read_events(&mut stream, 3).await;
    let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    let next = position.sequence + 1;
    assert_eq!(numbers, [next, next + 1, next + 2]);
    let (Some(Change::RegistrationRecorded(ended)), Some(Change::RegistrationRecorded(begun))) =
        (&events[0].change, &events[1].change)
    else {
        panic!("what ends is told before what begins: {events:?}");
    };
    assert!(ended.previous.is_some() && begun.previous.is_none());
    let Some(Change::SupplierTookEffect(effect)) = &events[2].change else {
        panic!("the change takes effect at once: {events:?}");
    };
    assert_eq!(effect.registration, begun.registration);
    assert_eq!(effect.previous_party_id, "ACME");
    assert_eq!(effect.device_ids, [ESME]);
    assert_eq!(effect.effective_time.unwrap().seconds, NOW);
    for event in &events {
        assert_eq!(event.actor.as_ref().unwrap().internal_role, "operator");
        assert_eq!(event.recorded_time.unwrap().seconds, NOW);
    }
    drop(stream);
    world.stop().await;
}

#[tokio::test]
async fn a_change_to_come_is_told_when_recorded_and_when_it_takes_effect() {
    let world = World::with_inventory().await;
    let mut stream = follow(&world, snapshot()).await;
    let (_, position) = read_snapshot(&mut stream).await;
    // A second supplier of gas.
    let rival = crate::world::party(
        "FLAME",
        4,
        &[mesh_api::authorization::v1::Role::GasSupplier],
    );
    world.import(vec![crate::world::row(rival)]).await.unwrap();
    world
        .change(mprn(1), "FLAME", Some(NOW + 3_600))
        .await
        .unwrap();
    let recorded = read_events(&mut stream, 2).await;
    assert!(
        recorded
            .iter()
            .all(|e| matches!(e.change, Some(Change::RegistrationRecorded(_))))
    );

    world.clock.set(at(NOW + 3_599));
    assert_eq!(world.ask(GSME).await.responsible_party_id, "GAS");
    world.clock.set(at(NOW + 3_601));
    let effect = read_events(&mut stream, 1).await.remove(0);
    assert_eq!(effect.sequence, position.sequence + 3);
    assert!(effect.actor.is_none() && effect.trace_parent.is_empty());
    assert_eq!(effect.recorded_time.unwrap().seconds, NOW + 3_601);
    let Some(Change::SupplierTookEffect(told)) = effect.change else {
        panic!("the change took effect: {effect:?}");
    };
    assert_eq!(told.effective_time.unwrap().seconds, NOW + 3_600);
    assert_eq!(told.device_ids, [GSME, GPF]);
    assert_eq!(told.registration.unwrap().party_id, "FLAME");

    // Whoever follows from before sees the same, once.
    let mut again = follow(&world, after(position)).await;
    let events = read_events(&mut again, 3).await;
    assert_eq!(events[..2], recorded[..]);
    drop((stream, again));
    world.stop().await;
}

#[tokio::test]
async fn the_parties_are_followed_too_and_a_stop_says_where_to_resume() {
    let world = World::with_inventory().await;
    let request = wire::FollowPartiesRequest { start: snapshot() };
    let stream = world
        .parties("classification")
        .follow_parties(request)
        .await;
    let mut stream = stream.unwrap().into_inner();
    let mut parties = Vec::new();
    world.set_status("BOLT", wire::PartyStatus::Suspended).await;
    let mut running = Some(world);
    let mut stopping = None;
    while let Some(response) = stream.message().await.unwrap() {
        match response.body.unwrap() {
            follow_parties_response::Body::Snapshot(part) => {
                parties.extend(part.parties.into_iter().map(|party| party.party_id));
            }
            follow_parties_response::Body::Frame(frame) => match frame.frame.unwrap() {
                Frame::Entries(entries) => {
                    let event = wire::PartyEvent::decode(entries.entries[0].event.clone()).unwrap();
                    let party = event.party.unwrap();
                    assert_eq!(
                        (party.party_id.as_str(), event.reason.as_str()),
                        ("BOLT", "test")
                    );
                    assert_eq!(party.status(), wire::PartyStatus::Suspended);
                    let world = running.take().expect("one change was made");
                    stopping = Some(tokio::spawn(world.stop()));
                }
                Frame::Draining(draining) => {
                    assert_eq!(draining.resume_after.unwrap().sequence, 4);
                }
                _ => {}
            },
        }
    }
    assert_eq!(parties, ["ACME", "BOLT", "GAS"]);
    stopping.expect("the suspension was told").await.unwrap();
}

#[tokio::test]
async fn suppliers_do_not_follow_the_inventory() {
    let world = World::with_inventory().await;
    world
        .wait_for_get(&crate::world::entity(1), ESME, None)
        .await;
    let request = wire::FollowDevicesRequest { start: snapshot() };
    let mut acme = world.devices_as(&crate::world::entity(1));
    let status = acme.follow_devices(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    world.stop().await;
}
