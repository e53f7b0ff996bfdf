//! After a new history of `flags`.

use std::collections::BTreeMap;

use mesh_api::common::v1::Resync;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange, CspFlagState};
use mesh_api::flag_registry::v1::{Cause, FlagEvent};
use mesh_testkit::LIMIT;

use crate::stream::{Attached, Got, sequences};
use crate::world::{World, acknowledged, device, event, facts, set, snapshot};

pub(crate) type Table = BTreeMap<String, (String, Vec<String>)>;

fn lift(number: u8, csp: &str) -> FlagEvent {
    event(
        number,
        Cause::FlagRemoved,
        facts(true, csp),
        facts(false, csp),
    )
}

/// What a CSP makes of the events of its log, which must say "before" what it knew before.
fn apply(table: &mut Table, changes: &[CspFlagChange]) {
    for change in changes {
        let change = change.clone();
        let before = table.remove(&change.device_id);
        let was_reduced = change.previous_state() == CspFlagState::Reduced;
        assert_eq!(before.is_some(), was_reduced, "{change:?}");
        if change.state() == CspFlagState::Reduced {
            let place = (change.communications_hub_id, change.covered_device_ids);
            table.insert(change.device_id, place);
        }
    }
}

/// What a CSP makes of a snapshot.
pub(crate) async fn table(stream: &mut Attached) -> Table {
    let mut table = Table::new();
    loop {
        match stream.next().await {
            Got::Devices(devices) => table.extend(devices.into_iter().map(|device| {
                let place = (device.communications_hub_id, device.covered_device_ids);
                (device.device_id, place)
            })),
            Got::Complete(_) => return table,
            other => panic!("{other:?} within a snapshot"),
        }
    }
}

/// The changes up to the first one about a Device.
async fn up_to(stream: &mut Attached, number: u8) -> Vec<CspFlagChange> {
    let mut changes: Vec<CspFlagChange> = Vec::new();
    let device = device(number);
    let come = async {
        while changes.last().is_none_or(|last| last.device_id != device) {
            if let Got::Changes(more) = stream.next().await {
                changes.extend(more);
            }
        }
    };
    let come = tokio::time::timeout(LIMIT, come).await;
    come.expect("a change before the limit");
    changes
}

fn causes(changes: &[CspFlagChange]) -> Vec<(CauseClass, String, CspFlagState)> {
    let causes = changes.iter().map(|change| {
        let device = change.device_id.clone();
        (change.cause_class(), device, change.state())
    });
    causes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_new_history_each_csps_log_goes_on_and_its_table_is_the_registrys() {
    let mut world = World::start().await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    let mut south = world.attach("south", snapshot()).await.unwrap();
    for event in [
        set(1, "north"),
        set(2, "north"),
        set(0x21, "south"),
        // All that follows is lost.
        lift(1, "north"),
        set(3, "north"),
    ] {
        world.flags.append(&event).await;
    }
    let (mut of_north, mut of_south) = (Table::new(), Table::new());
    let before = north.until(4).await;
    apply(&mut of_north, &before);
    apply(&mut of_south, &south.until(1).await);
    let head = north.position();

    let elsewhere = {
        let mut other = facts(true, "north");
        other.communications_hub_id = device(0xC1);
        event(2, Cause::HubReplaced, facts(true, "north"), other)
    };
    let others = [set(4, "north"), elsewhere, lift(0x21, "south")];
    world.flags.new_history(3, &others).await;

    use CauseClass::{Resync, Set};
    use CspFlagState::{NotReduced, Reduced};
    let mut changes = up_to(&mut north, 4).await;
    let rests_on = changes[0].flag_position.clone().unwrap();
    assert_eq!(rests_on.sequence, 6);
    apply(&mut of_south, &up_to(&mut south, 0x21).await);
    // What happens next comes to each as ever.
    world.flags.append(&set(9, "north")).await;
    world.flags.append(&set(0x29, "south")).await;
    changes.extend(up_to(&mut north, 9).await);
    apply(&mut of_south, &up_to(&mut south, 0x29).await);
    let own = |cause, number, state| (cause, device(number), state);
    assert_eq!(
        causes(&changes),
        [
            own(Resync, 1, Reduced),
            own(Resync, 2, Reduced),
            own(Resync, 3, NotReduced),
            own(Resync, 4, Reduced),
            own(Set, 9, Reduced),
        ]
    );
    // Each fitted the chain; the log has the same epoch as before.
    assert_eq!(sequences(&changes), [5, 6, 7, 8, 9]);
    assert_eq!(north.position().epoch, head.epoch);
    apply(&mut of_north, &changes);
    assert_eq!(of_north, world.flags.flagged("north").await);
    assert_eq!(of_south, world.flags.flagged("south").await);

    for csp in ["north", "south"] {
        let mut late = world.attach(csp, snapshot()).await.unwrap();
        assert_eq!(table(&mut late).await, world.flags.flagged(csp).await);
    }
    // What was acknowledged and sent before counts still.
    let mut late = world.attach("north", Start::After(head)).await.unwrap();
    assert_eq!(sequences(&late.until(9).await), [5, 6, 7, 8, 9]);
    let mut late = world.attach("north", acknowledged()).await.unwrap();
    assert_eq!(late.until(9).await.len(), 9);
}

/// The next resync that a stream brings, and the changes before it.
async fn resynced(stream: &mut Attached) -> (Vec<CspFlagChange>, Resync) {
    let mut changes = Vec::new();
    let come = async {
        loop {
            match stream.next().await {
                Got::Changes(more) => changes.extend(more),
                Got::Resync(resync) => return resync,
                _ => {}
            }
        }
    };
    let come = tokio::time::timeout(LIMIT, come).await;
    let resync = come.expect("a resync before the limit");
    (changes, resync)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_is_told_to_each_csp_where_its_corrections_begin() {
    let mut world = World::start().await;
    let mut south = world.attach("south", snapshot()).await.unwrap();
    let mut north = world.attach("north", snapshot()).await.unwrap();
    for event in [set(1, "north"), set(0x21, "south"), set(2, "north")] {
        world.flags.append(&event).await;
    }
    north.until(2).await;
    south.until(1).await;
    let (first, head) = (north.head.clone(), north.position());
    world.flags.new_history(2, &[]).await;

    let told = |resync: &Resync| {
        let position = resync.position.clone().unwrap();
        let source = resync.source_position.clone().unwrap();
        assert_eq!(source.log, "flags");
        assert!(resync.recorded_time.is_some());
        (position.sequence, resync.differences, source.sequence)
    };
    // South's table is right: it is told all the same.
    let (changes, resync) = resynced(&mut south).await;
    assert_eq!((told(&resync), changes.len()), ((1, 0, 2), 0));
    let (changes, resync) = resynced(&mut north).await;
    assert_eq!((told(&resync), changes.len()), ((2, 1, 2), 0));
    assert_eq!(resync.position, Some(head.clone()));
    let of_north = up_to(&mut north, 2).await;
    assert_eq!(sequences(&of_north), [3]);
    assert_eq!(of_north[0].cause_class(), CauseClass::Resync);

    // Who attaches later behind it, or at it, is told between the same two events.
    for (after, events) in [(first, 2), (head, 0)] {
        let mut late = world.attach("north", Start::After(after)).await.unwrap();
        let (changes, resync) = resynced(&mut late).await;
        assert_eq!((told(&resync), changes.len()), ((2, 1, 2), events));
        assert_eq!(sequences(&up_to(&mut late, 2).await), [3]);
    }
    // Who has applied the corrections is not told again.
    let past = Start::After(north.position());
    let mut late = world.attach("north", past).await.unwrap();
    assert!(matches!(late.next().await, Got::Checkpoint(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_lasts_and_happens_once() {
    let mut world = World::start().await;
    for event in [set(1, "north"), set(2, "north")] {
        world.flags.append(&event).await;
    }
    world.logged("north", 2).await;
    // Nothing is known of the new history until the service is back.
    world.flags.new_history(1, &[set(3, "north")]).await;
    let world = world.restart(async |_| {}).await;
    world.logged("north", 4).await;
    let world = world
        .restart(async |flags| {
            flags.append(&set(4, "north")).await;
        })
        .await;
    world.logged("north", 5).await;
    let mut north = world.attach("north", acknowledged()).await.unwrap();
    let (before, resync) = resynced(&mut north).await;
    assert_eq!(resync.differences, 2);
    let mut of_north = Table::new();
    apply(&mut of_north, &before);
    let after = up_to(&mut north, 4).await;
    assert_eq!(sequences(&after), [3, 4, 5]);
    apply(&mut of_north, &after);
    assert_eq!(of_north, world.flags.flagged("north").await);
}
