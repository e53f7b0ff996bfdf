//! What goes on without registration, and how the service stops.

use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1 as wire;
use tonic::Code;

use crate::world::{METER, OTHER_METER, World, add, get, get_entry, refused, remove};

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
    // The followed supplier reads on; nobody else does, and of a Device without a history nothing
    // is known.
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.responsible_party_id, "ACME");
    let request = wire::ListFlagEventsRequest {
        device_id: METER.into(),
        ..Default::default()
    };
    acme.list_flag_events(request).await.unwrap();
    assert_eq!(
        refused(world.rival().get_flag(get(METER)).await),
        (Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
    );
    assert_eq!(refused(acme.get_flag(get(OTHER_METER)).await), unreachable);
    get_entry(&mut world.internal("dsp"), METER).await;
    world.registration.set_reachable(true);
    acme.remove_flag(remove(METER)).await.unwrap();
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
