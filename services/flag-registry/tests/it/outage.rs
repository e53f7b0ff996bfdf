//! What goes on without registration, and how the service stops.

use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1 as wire;
use mesh_testkit::wait_until;
use mesh_types::Timestamp;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::world::{METER, NOW, OTHER_METER, World, add, get, get_entry, refused, remove};

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_without_registration_and_writes_do_not() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.meter(OTHER_METER);
    world.registration.set_reachable(false);
    let mut acme = world.acme();
    let unreachable = (Code::Unavailable, ErrorReason::AuthorityUnreachable);
    assert_eq!(refused(acme.add_flag(add(METER)).await), unreachable);
    assert_eq!(refused(acme.remove_flag(remove(METER)).await), unreachable);
    // The followed supplier reads on; nobody else does, or learns whether there is a history.
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.responsible_party_id, "ACME");
    let request = wire::ListFlagEventsRequest {
        device_id: METER.into(),
        ..Default::default()
    };
    acme.list_flag_events(request).await.unwrap();
    let mut rival = world.rival();
    assert_eq!(refused(rival.get_flag(get(METER)).await), unreachable);
    assert_eq!(refused(rival.get_flag(get(OTHER_METER)).await), unreachable);
    assert_eq!(refused(acme.get_flag(get(OTHER_METER)).await), unreachable);
    get_entry(&mut world.internal("dsp"), METER).await;
    assert_eq!(world.health().await, ServingStatus::Serving);
    world.registration.set_reachable(true);
    acme.remove_flag(remove(METER)).await.unwrap();
}

/// The event that says who comes next cannot arrive, but that it comes is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_followed_supplier_reads_no_longer_than_it_is_known_to_be_one() {
    let world = World::start().await;
    world.flagged(METER).await;
    let end = Timestamp::from_micros(NOW.micros() + 10);
    world.registration.end_registration(METER, end);
    world.caught_up().await;
    world.registration.set_reachable(false);
    let mut acme = world.acme();
    acme.get_flag(get(METER)).await.unwrap();
    world.clock.set(end);
    assert_eq!(
        refused(acme.get_flag(get(METER)).await),
        (Code::Unavailable, ErrorReason::AuthorityUnreachable)
    );
}

/// A change that was announced and withdrawn takes nothing from the supplier.
#[tokio::test(flavor = "multi_thread")]
async fn a_followed_supplier_reads_on_if_the_change_was_withdrawn() {
    let world = World::start().await;
    world.flagged(METER).await;
    let end = Timestamp::from_micros(NOW.micros() + 10);
    world.registration.end_registration(METER, end);
    world.registration.withdraw_change(METER);
    world.caught_up().await;
    world.registration.set_reachable(false);
    world.clock.set(end);
    let mut acme = world.acme();
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.responsible_party_id, "ACME");
    assert_eq!(world.history(METER).await.len(), 1);
}

/// Without the directory nobody can be recognised who needs it, and health says so.
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_whether_callers_can_be_recognised() {
    let world = World::start().await;
    let serving = ServingStatus::Serving;
    wait_until("the service is ready", async || {
        let status = world.health().await;
        if status == serving {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;

    let nowhere = World::without_registration().await;
    assert_eq!(nowhere.health().await, ServingStatus::NotServing);
    assert_eq!(
        refused(nowhere.acme().get_flag(get(METER)).await),
        (Code::Unavailable, ErrorReason::DirectoryNotLoaded)
    );
    get_entry(&mut nowhere.internal("dsp"), METER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_nothing() {
    let mut world = World::start().await;
    world.flagged(METER).await;
    assert!(world.stop().await.clean);
    world.run().await;
    let entry = get_entry(&mut world.acme(), METER).await;
    assert_eq!(entry.state(), wire::FlagState::Flagged);
    // The follower goes on where it was: nothing is applied twice.
    world.caught_up().await;
    assert_eq!(world.history(METER).await.len(), 1);
}
