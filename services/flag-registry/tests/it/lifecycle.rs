//! What registration does to a flag.

use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState, ReviewReason};
use mesh_api::registration::v1::{SiteException, SmiStatus};
use mesh_types::Timestamp;

use crate::registration::hub;
use crate::world::{
    METER, NOW, OTHER_HUB, OTHER_METER, World, add, choice, get, get_entry, refused, remove,
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_supplier_keeps_the_flag_and_moves_the_authority() {
    let world = World::start().await;
    world.flagged(METER).await;
    let effective = Timestamp::from_micros(NOW.micros() + 1);
    world
        .registration
        .change_supplier(METER, "RIVAL", effective, TRACE);
    world.caught_up().await;
    assert!(world.acme().get_flag(get(METER)).await.is_err());
    let mut rival = world.rival();
    let entry = get_entry(&mut rival, METER).await;
    assert_eq!(
        (entry.state(), entry.responsible_party_id.as_str()),
        (FlagState::Flagged, "RIVAL")
    );
    assert_eq!((entry.state_sequence, entry.last_sequence > 1), (1, true));

    let history = world.history(METER).await;
    let event = &history[1];
    assert_eq!((history.len(), event.cause()), (2, Cause::SupplierChanged));
    assert_eq!(event.trace_parent, TRACE);
    assert!(event.actor.is_none() && event.request_id.is_empty());
    assert_eq!(event.effective_time, entry.responsible_since_time);
    let sides = [&event.previous, &event.current].map(|side| side.clone().unwrap());
    assert_eq!(
        sides.map(|side| side.responsible_party_id),
        ["ACME", "RIVAL"]
    );

    // The gaining supplier sees what happened, and nothing of what the losing one knew.
    let request = wire::ListFlagEventsRequest {
        device_id: METER.into(),
        ..Default::default()
    };
    let seen = rival
        .list_flag_events(request)
        .await
        .unwrap()
        .into_inner()
        .events;
    assert_eq!(seen.len(), 2);
    let added = &seen[1];
    assert_eq!((added.cause(), added.sequence), (Cause::FlagAdded, 1));
    assert!(added.choice.is_none() && added.reasonable_steps.is_none());
    assert!(added.site_declarations.is_none() && added.actor.is_none());
    assert!(added.request_id.is_empty() && added.registration_id.is_empty());
    let suppliers = seen
        .iter()
        .flat_map(|event| [&event.previous, &event.current]);
    let suppliers: Vec<_> = suppliers
        .map(|side| side.as_ref().unwrap().responsible_party_id.as_str())
        .collect();
    assert_eq!(
        suppliers,
        ["", "RIVAL", "", ""],
        "who came before is not told"
    );
    assert!(history[0].choice.is_some(), "an auditor sees all");
}

#[tokio::test(flavor = "multi_thread")]
async fn hub_and_coverage_follow_the_device() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().communications_hub_id = OTHER_HUB.into();
        authority.communications_hub = Some(hub(OTHER_HUB, "south"));
    });
    world.caught_up().await;
    let entry = get_entry(&mut world.acme(), METER).await;
    assert_eq!(
        (entry.communications_hub_id.as_str(), entry.csp_id.as_str()),
        (OTHER_HUB, "south")
    );
    assert_eq!(
        world.causes(METER).await,
        [Cause::FlagAdded, Cause::HubReplaced]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_fact_asks_for_a_review_until_a_choice_answers() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.registration.put(METER, |authority| {
        let device = authority.device.as_mut().unwrap();
        device.site_exceptions = vec![SiteException::Economy7OrSimilar.into()];
    });
    world.caught_up().await;
    let mut acme = world.acme();
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.state(), FlagState::Flagged);
    let reviews: Vec<_> = entry.reviews().collect();
    assert_eq!(reviews, [ReviewReason::Economy7OrSimilar]);
    acme.remove_flag(remove(METER)).await.unwrap();
    assert_eq!(get_entry(&mut acme, METER).await.reviews, [0; 0]);
    assert_eq!(
        world.causes(METER).await,
        [Cause::FlagAdded, Cause::ReviewNeeded, Cause::FlagRemoved]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_ends_with_its_device_and_another_starts_without() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().smi_status = SmiStatus::Decommissioned.into();
    });
    world.meter(OTHER_METER);
    world.caught_up().await;
    let mut acme = world.acme();
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(
        (entry.state(), entry.cause()),
        (FlagState::NotFlagged, Cause::DeviceEnded)
    );
    let other = get_entry(&mut acme, OTHER_METER).await;
    assert_eq!(
        (other.state(), other.last_sequence),
        (FlagState::NotFlagged, 0)
    );
}

/// A former supplier must not read on because the flag was lifted before it lost the Device.
#[tokio::test(flavor = "multi_thread")]
async fn the_supplier_of_a_lifted_flag_is_followed_too() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.acme().remove_flag(remove(METER)).await.unwrap();
    world.registration.change_supplier(METER, "RIVAL", NOW, "");
    world.caught_up().await;
    assert_eq!(
        world.causes(METER).await,
        [Cause::FlagAdded, Cause::FlagRemoved, Cause::SupplierChanged]
    );
    world.registration.set_reachable(false);
    world.rival().get_flag(get(METER)).await.unwrap();
    assert!(world.acme().get_flag(get(METER)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gaining_supplier_records_a_choice_of_its_own() {
    let world = World::start().await;
    world.flagged(METER).await;
    let before_the_choice = Timestamp::from_micros(NOW.micros() - 61_000_000);
    world
        .registration
        .change_supplier(METER, "RIVAL", before_the_choice, "");
    let mut rival = world.rival();
    let borrowed = refused(rival.add_flag(add(METER)).await);
    assert_eq!(
        borrowed.1,
        mesh_api::common::v1::ErrorReason::PreconditionsNotMet
    );
    let own = wire::AddFlagRequest {
        choice: choice("RIVAL", wire::Preference::Reduced),
        ..add(METER)
    };
    let answer = rival.add_flag(own).await.unwrap().into_inner();
    assert!(!answer.changed);
    assert_eq!(answer.entry.unwrap().responsible_party_id, "RIVAL");
    // Whether the follower or the permit was first, the log says it once.
    world.caught_up().await;
    let causes = world.causes(METER).await;
    let changes = causes
        .iter()
        .filter(|&&cause| cause == Cause::SupplierChanged);
    assert_eq!(changes.count(), 1, "{causes:?}");
}

/// After registration was restored from a backup its positions cannot be compared.
#[tokio::test(flavor = "multi_thread")]
async fn another_history_of_registration_is_compared_with_every_entry() {
    let mut world = World::start().await;
    world.flagged(METER).await;
    world.flagged(OTHER_METER).await;
    world.caught_up().await;
    world.stop().await;
    world.registration.restore(|authorities| {
        let authority = authorities.get_mut(METER).unwrap();
        authority.responsible_party_id = "RIVAL".into();
    });
    world.run().await;
    let mut operator = world.internal("operator");
    mesh_testkit::wait_until("the entries are compared", async || {
        let entry = get_entry(&mut operator, METER).await;
        if entry.responsible_party_id == "RIVAL" {
            Ok(())
        } else {
            Err(entry.responsible_party_id)
        }
    })
    .await;
    assert_eq!(world.causes(OTHER_METER).await, [Cause::FlagAdded]);
    // The new history is followed on.
    world.caught_up().await;
    world.acme().remove_flag(remove(OTHER_METER)).await.unwrap();
}
