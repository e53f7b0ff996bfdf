//! From an event of `flags` to the CSPs that it concerns.

use std::collections::BTreeSet;

use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange, CspFlagState};
use mesh_api::flag_registry::v1::Cause;

use crate::stream::{Got, sequences};
use crate::world::{World, device, event, facts, set, snapshot};

fn told(changes: &[CspFlagChange]) -> Vec<(CauseClass, CspFlagState, u64)> {
    let told = changes.iter().map(|change| {
        let flag = change.flag_position.as_ref().unwrap();
        assert_eq!(flag.log, "flags");
        (change.cause_class(), change.state(), flag.sequence)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_csp_is_told_what_concerns_its_hubs_and_nothing_else() {
    let world = World::start().await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    let mut south = world.attach("south", snapshot()).await.unwrap();
    let (of_north, of_south) = (|on| facts(on, "north"), |on| facts(on, "south"));
    for event in [
        set(1, "north"),
        // Nobody is told of these.
        event(1, Cause::PreferenceRecorded, of_north(true), of_north(true)),
        event(1, Cause::SupplierChanged, of_north(true), of_north(true)),
        event(1, Cause::TenancyKept, of_north(true), of_north(true)),
        event(1, Cause::ReviewNeeded, of_north(true), of_north(true)),
        event(1, Cause::HubReplaced, of_north(true), of_south(true)),
        event(1, Cause::FlagRemoved, of_south(true), of_south(false)),
        set(2, "north"),
        event(2, Cause::DeviceEnded, of_north(true), of_north(false)),
    ] {
        world.flags.append(&event).await;
    }
    use CauseClass::{Arrived, DeviceEnded, Left, Lifted, Set};
    use CspFlagState::{NotReduced, Reduced};
    let changes = north.until(4).await;
    assert_eq!(
        told(&changes),
        [
            (Set, Reduced, 1),
            (Left, NotReduced, 6),
            (Set, Reduced, 8),
            (DeviceEnded, NotReduced, 9)
        ]
    );
    assert_eq!(sequences(&changes), [1, 2, 3, 4]);
    let devices: Vec<_> = changes
        .iter()
        .map(|change| change.device_id.clone())
        .collect();
    assert_eq!(devices, [device(1), device(1), device(2), device(2)]);
    let changes = south.until(2).await;
    assert_eq!(
        told(&changes),
        [(Arrived, Reduced, 6), (Lifted, NotReduced, 7)]
    );
    assert_eq!(sequences(&changes), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_tail_together_are_the_reduced_devices() {
    let world = World::start().await;
    world.set("north", 0, 20).await;
    let lift = event(
        3,
        Cause::FlagRemoved,
        facts(true, "north"),
        facts(false, "north"),
    );
    world.flags.append(&lift).await;
    world.logged("north", 21).await;

    let mut north = world.attach("north", snapshot()).await.unwrap();
    let mut reduced = BTreeSet::new();
    loop {
        match north.next().await {
            Got::Devices(devices) => {
                reduced.extend(devices.into_iter().map(|device| device.device_id));
            }
            Got::Complete(items) => {
                assert_eq!(items, reduced.len() as u64);
                break;
            }
            other => panic!("{other:?} within a snapshot"),
        }
    }
    let mut expected: BTreeSet<_> = (0..20).filter(|n| *n != 3).map(device).collect();
    assert_eq!(reduced, expected);
    let lift = event(
        4,
        Cause::FlagRemoved,
        facts(true, "north"),
        facts(false, "north"),
    );
    world.flags.append(&lift).await;
    let changes = north.until(22).await;
    assert_eq!(sequences(&changes), [22]);
    expected.remove(&device(4));
    reduced.remove(&changes[0].device_id);
    assert_eq!(reduced, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_logs_and_acknowledgements_and_misses_nothing() {
    let world = World::start().await;
    world.set("north", 0, 3).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(3).await;
    let seen = north.position();
    world.acknowledge("north", seen.clone()).await.unwrap();
    let before = world.subscription("north").await;
    drop(north);

    let world = world
        .restart(async |flags| {
            for number in 3..6 {
                flags.append(&set(number, "north")).await;
            }
        })
        .await;
    world.logged("north", 6).await;
    let after = world.subscription("north").await;
    assert_eq!(after.acknowledged, before.acknowledged);
    assert_eq!(after.sent, before.sent);
    assert_eq!(after.acknowledged_time, before.acknowledged_time);
    assert_eq!(after.lag, 3);
    // The epoch is the same, so a CSP goes on where it was.
    let start = mesh_api::csp_notification::v1::follow_flag_changes_request::Start::After(seen);
    let mut north = world.attach("north", start).await.unwrap();
    let changes = north.until(6).await;
    assert_eq!(sequences(&changes), [4, 5, 6]);
    let flags: Vec<_> = told(&changes)
        .into_iter()
        .map(|(_, _, flag)| flag)
        .collect();
    assert_eq!(flags, [4, 5, 6]);
}
