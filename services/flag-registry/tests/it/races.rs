//! What happens between check and commit.

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::timestamp_to_wire;
use mesh_types::Timestamp;
use tonic::Code;

use crate::registration::hub;
use crate::world::{METER, NOW, OTHER_HUB, World, add, get_entry, refused};

/// The permit rests on facts that the follower has already overtaken.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_supplier_before_the_commit_counts() {
    let world = World::start().await;
    world.meter(METER);
    world.caught_up().await;
    world.registration.remember(false);
    world.registration.change_supplier(METER, "RIVAL", NOW, "");
    wait_for_the_follower(&world).await;
    assert_eq!(
        refused(world.acme().add_flag(add(METER)).await),
        (Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
    );
    assert!(world.history(METER).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_swap_before_the_commit_is_taken_into_account() {
    let world = World::start().await;
    world.meter(METER);
    world.caught_up().await;
    world.registration.remember(false);
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().communications_hub_id = OTHER_HUB.into();
        authority.communications_hub = Some(hub(OTHER_HUB, "south"));
    });
    wait_for_the_follower(&world).await;
    let added = world.acme().add_flag(add(METER)).await.unwrap();
    let entry = added.into_inner().entry.unwrap();
    assert_eq!(
        (entry.csp_id.as_str(), entry.communications_hub_id.as_str()),
        ("south", OTHER_HUB)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_that_never_settle_end_the_call() {
    let world = World::start().await;
    world.meter(METER);
    world.caught_up().await;
    world.registration.remember(true);
    world.registration.put(METER, |_| {});
    wait_for_the_follower(&world).await;
    assert_eq!(
        refused(world.acme().add_flag(add(METER)).await),
        (Code::Aborted, ErrorReason::AuthorityChanged)
    );
}

/// The permit ends with the registration that it rests on, though nothing new was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_has_ended_is_not_used() {
    let world = World::start().await;
    let end = Timestamp::from_micros(NOW.micros() + 1);
    world.registration.put(METER, |authority| {
        authority.authority_end_time = Some(timestamp_to_wire(end));
    });
    let mut acme = world.acme();
    acme.add_flag(add(METER)).await.unwrap();
    world.clock.set(end);
    assert_eq!(
        refused(acme.add_flag(add(METER)).await),
        (Code::Aborted, ErrorReason::AuthorityChanged)
    );
    // Registration has looked again, and somebody else is responsible.
    world.registration.put(METER, |authority| {
        authority.authority_end_time = None;
        authority.responsible_party_id = "RIVAL".into();
    });
    assert_eq!(
        refused(acme.add_flag(add(METER)).await).1,
        ErrorReason::NotResponsibleSupplier
    );
}

/// Until the follower stands at the end of the log. The probe is flagged beforehand, and tells.
async fn wait_for_the_follower(world: &World) {
    world.caught_up().await;
    let probe = get_entry(&mut world.internal("operator"), crate::world::PROBE).await;
    assert!(probe.last_sequence > 1);
}
