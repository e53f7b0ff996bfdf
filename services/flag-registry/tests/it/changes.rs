//! Setting, lifting and keeping flags.

use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState, Preference};
use mesh_api::registration::v1::SiteException;
use tonic::Code;

use crate::world::{
    GAS_METER, GPF, METER, World, add, before, choice, declarations, get_entry, refused, remove,
    request_id, steps,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_sets_and_lifts_a_flag() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let never = get_entry(&mut acme, METER).await;
    assert_eq!(
        (never.state(), never.etag.as_str()),
        (FlagState::NotFlagged, "0")
    );
    assert_eq!(never.device_type, 0);

    // Either case names the same Device.
    let request = add(&METER.to_lowercase());
    let added = acme.add_flag(request.clone()).await.unwrap().into_inner();
    assert!(added.changed && !added.replayed);
    assert_eq!(
        added.advice().collect::<Vec<_>>(),
        [wire::Advice::BillingCalendarMayPushRegisters]
    );
    let entry = added.entry.unwrap();
    assert_eq!(
        (entry.state(), entry.device_id.as_str()),
        (FlagState::Flagged, METER)
    );
    assert_eq!(
        (entry.csp_id.as_str(), entry.responsible_party_id.as_str()),
        ("north", "ACME")
    );
    assert_eq!(
        (entry.cause(), entry.etag.as_str()),
        (Cause::FlagAdded, "1")
    );
    assert_eq!(entry, get_entry(&mut acme, METER).await);

    let removed = acme.remove_flag(remove(METER)).await.unwrap().into_inner();
    assert!(removed.changed);
    let entry = removed.entry.unwrap();
    assert_eq!(
        (entry.state(), entry.cause()),
        (FlagState::NotFlagged, Cause::FlagRemoved)
    );

    let history = world.history(METER).await;
    let event = &history[0];
    assert_eq!(event.choice, request.choice);
    assert_eq!(event.reasonable_steps, request.reasonable_steps);
    assert_eq!(event.site_declarations, request.site_declarations);
    assert_eq!(
        (&event.request_id, event.registration_id.as_str()),
        (&request.request_id, "R-ACME")
    );
    assert_eq!(event.actor.as_ref().unwrap().party_id, "ACME");
    assert_eq!(event.registration_position.as_ref().unwrap().log, "devices");
    assert_eq!(removed.position.unwrap().sequence, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gas_meters_flag_covers_its_gpf() {
    let world = World::start().await;
    world.registration.put(GAS_METER, |authority| {
        let device = authority.device.as_mut().unwrap();
        device.r#type = mesh_api::common::v1::DeviceType::Gsme.into();
        device.gas_proxy_function_id = GPF.into();
    });
    let added = world.acme().add_flag(add(GAS_METER)).await.unwrap();
    let entry = added.into_inner().entry.unwrap();
    assert_eq!(entry.covered_device_ids, [GPF]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_has_one_effect_and_one_answer() {
    let mut world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let request = add(METER);
    let first = acme.add_flag(request.clone()).await.unwrap().into_inner();
    acme.remove_flag(remove(METER)).await.unwrap();
    let again = acme.add_flag(request.clone()).await.unwrap().into_inner();
    let replay = wire::AddFlagResponse {
        replayed: true,
        ..first.clone()
    };
    assert_eq!(again, replay);

    // Another content under the same id, and the same id for another RPC.
    let other = wire::AddFlagRequest {
        etag: "2".into(),
        ..request.clone()
    };
    let reused = (Code::AlreadyExists, ErrorReason::RequestIdReused);
    assert_eq!(refused(acme.add_flag(other).await), reused);
    let removal = wire::RemoveFlagRequest {
        request_id: request.request_id.clone(),
        ..remove(METER)
    };
    assert!(
        !acme
            .remove_flag(removal)
            .await
            .unwrap()
            .into_inner()
            .replayed
    );

    // After a restart, and by hand in another case.
    world.stop().await;
    world.run().await;
    let shouted = wire::AddFlagRequest {
        request_id: request.request_id.to_uppercase(),
        device_id: METER.to_lowercase(),
        ..request.clone()
    };
    let again = world.acme().add_flag(shouted).await.unwrap().into_inner();
    assert_eq!(again, replay);
    assert_eq!(world.history(METER).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_needs_authority_too() {
    let world = World::start().await;
    world.meter(METER);
    let request = add(METER);
    world.acme().add_flag(request.clone()).await.unwrap();
    world
        .registration
        .change_supplier(METER, "RIVAL", crate::world::NOW, "");
    assert_eq!(
        refused(world.acme().add_flag(request).await),
        (Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_one_answer_each() {
    let world = World::start().await;
    world.meter(METER);
    let request = add(METER);
    let calls = (0..32).map(|number| {
        let mut acme = world.acme();
        let request = if number % 2 == 0 {
            request.clone()
        } else {
            add(METER)
        };
        tokio::spawn(async move { acme.add_flag(request).await.unwrap().into_inner() })
    });
    let calls: Vec<_> = calls.collect();
    let mut changed = 0;
    let mut replayed = 0;
    let mut positions = std::collections::BTreeSet::new();
    for call in calls {
        let answer = call.await.unwrap();
        replayed += usize::from(answer.replayed);
        changed += usize::from(answer.changed && !answer.replayed);
        positions.insert(answer.position.unwrap().sequence);
    }
    assert_eq!((changed, replayed), (1, 15));
    assert_eq!(positions, (1..=17).collect());
    assert_eq!(world.history(METER).await.len(), 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_recorded_all_the_same() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let request = remove(METER);
    let nothing = acme.remove_flag(request.clone()).await.unwrap();
    let nothing = nothing.into_inner();
    assert!(!nothing.changed);
    acme.add_flag(add(METER)).await.unwrap();
    // Sent once more it changes nothing still, though there is a flag by now.
    let replay = acme.remove_flag(request).await.unwrap().into_inner();
    let replayed = wire::RemoveFlagResponse {
        replayed: true,
        ..nothing
    };
    assert_eq!(replay, replayed);
    let again = acme.add_flag(add(METER)).await.unwrap().into_inner();
    assert!(!again.changed);
    assert_eq!(again.position.unwrap().sequence, 3);
    let entry = again.entry.unwrap();
    assert_eq!((entry.state_sequence, entry.last_sequence), (2, 3));
    assert_eq!(
        world.causes(METER).await,
        [
            Cause::PreferenceRecorded,
            Cause::FlagAdded,
            Cause::PreferenceRecorded
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_tenancy_keeps_or_lifts_in_one_event() {
    let world = World::start().await;
    world.flagged(METER).await;
    let mut acme = world.acme();
    let tenancy = |preference| wire::RecordTenancyChangeRequest {
        request_id: request_id(),
        device_id: METER.into(),
        tenancy_start_time: before(600),
        choice: choice("ACME", preference),
        ..Default::default()
    };
    // To keep it the incoming tenant is owed all that the first one was.
    assert_eq!(
        refused(
            acme.record_tenancy_change(tenancy(Preference::Reduced))
                .await
        ),
        (Code::FailedPrecondition, ErrorReason::PreconditionsNotMet)
    );
    let keep = wire::RecordTenancyChangeRequest {
        reasonable_steps: steps(),
        site_declarations: declarations(),
        ..tenancy(Preference::Reduced)
    };
    let kept = acme
        .record_tenancy_change(keep.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!kept.changed);
    assert_eq!(kept.entry.unwrap().state(), FlagState::Flagged);
    let lifted = acme.record_tenancy_change(tenancy(Preference::Full)).await;
    let lifted = lifted.unwrap().into_inner();
    assert!(lifted.changed);
    assert_eq!(lifted.entry.unwrap().state(), FlagState::NotFlagged);
    // Nothing to keep any more; a preference for FULL is recorded.
    let keep = wire::RecordTenancyChangeRequest {
        request_id: request_id(),
        ..keep
    };
    assert_eq!(
        refused(acme.record_tenancy_change(keep).await).1,
        ErrorReason::PreconditionsNotMet
    );
    let nothing = acme.record_tenancy_change(tenancy(Preference::Full)).await;
    assert!(!nothing.unwrap().into_inner().changed);

    let history = world.history(METER).await;
    let causes: Vec<_> = history.iter().map(wire::FlagEvent::cause).collect();
    assert_eq!(
        causes,
        [
            Cause::FlagAdded,
            Cause::TenancyKept,
            Cause::TenancyRemoved,
            Cause::PreferenceRecorded
        ]
    );
    assert!(
        history[1..]
            .iter()
            .all(|event| event.tenancy_start_time == before(600))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_guards_against_a_change_in_between() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let with = |etag: &str| wire::AddFlagRequest {
        etag: etag.into(),
        ..add(METER)
    };
    let mismatch = (Code::Aborted, ErrorReason::EtagMismatch);
    assert_eq!(refused(acme.add_flag(with("1")).await), mismatch);
    let added = acme.add_flag(with("0")).await.unwrap().into_inner();
    assert_eq!(refused(acme.add_flag(with("0")).await), mismatch);
    let etag = added.entry.unwrap().etag;
    acme.add_flag(with(&etag)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_checks_everything_and_writes_nothing() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    let rehearsal = wire::AddFlagRequest {
        validate_only: true,
        ..add(METER)
    };
    let answer = acme.add_flag(rehearsal.clone()).await.unwrap().into_inner();
    assert!(answer.changed && answer.position.is_none());
    assert_eq!(answer.entry.unwrap().state(), FlagState::NotFlagged);
    assert!(world.history(METER).await.is_empty());
    // Nothing was kept: the id is free for the real thing.
    let real = wire::AddFlagRequest {
        validate_only: false,
        ..rehearsal.clone()
    };
    assert!(!acme.add_flag(real).await.unwrap().into_inner().replayed);
    world.registration.put(METER, |authority| {
        let device = authority.device.as_mut().unwrap();
        device.site_exceptions = vec![SiteException::RadioTeleswitch.into()];
    });
    let rehearsal = wire::AddFlagRequest {
        request_id: request_id(),
        ..rehearsal
    };
    assert_eq!(
        refused(acme.add_flag(rehearsal).await).1,
        ErrorReason::PreconditionsNotMet
    );
}
