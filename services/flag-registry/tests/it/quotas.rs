//! A supplier that records without end is stopped; nobody else is.

use std::num::NonZeroU32;
use std::time::Duration;

use flag_registry::Quotas;
use futures::future::join_all;
use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1 as wire;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{
    METER, OTHER_METER, World, add, before, choice, declarations, get_entry, refused, remove,
    request_id, steps,
};

const QUOTA: (Code, ErrorReason) = (Code::ResourceExhausted, ErrorReason::QuotaExhausted);
const REPEATS: usize = 20;

/// Which quota, of whom, and when there is room again, in hours.
fn told(status: &Status) -> (String, String, u64) {
    let details = status.get_error_details();
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["quota"], violations[0].quota_id);
    assert_eq!(metadata["limit"], violations[0].quota_value.to_string());
    assert_eq!(metadata["window_seconds"], "86400");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    let violation = &violations[0];
    (
        violation.quota_id.clone(),
        violation.subject.clone(),
        wait.as_secs() / 3_600,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preference_in_a_loop_stops_growing_the_log() {
    let world = World::start().await;
    let mut acme = world.acme();
    world.flagged(METER).await;
    let first = add(METER);
    acme.add_flag(first.clone()).await.unwrap();
    let mut status = None;
    for _ in 0..10 * REPEATS {
        if let Err(refusal) = acme.add_flag(add(METER)).await {
            status = Some(refusal);
            break;
        }
    }
    let status = status.expect("nobody stops the loop");
    assert_eq!(
        (status.code(), mesh_api::status::reason_of(&status)),
        (QUOTA.0, Some(QUOTA.1))
    );
    let (quota, subject, hours) = told(&status);
    assert_eq!((&*quota, &*subject), ("DEVICE_REPEATS", METER));
    assert!((23..25).contains(&hours), "{hours} hours");
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "-1"
    );

    // The log has stopped growing, however many ask at once and however they ask.
    let loops = (0..30).map(|_| {
        let mut acme = acme.clone();
        async move { refused(acme.add_flag(add(METER)).await) }
    });
    assert!(
        join_all(loops)
            .await
            .iter()
            .all(|refusal| *refusal == QUOTA)
    );
    let mut checked = add(METER);
    checked.validate_only = true;
    assert_eq!(refused(acme.add_flag(checked).await), QUOTA);
    assert_eq!(world.history(METER).await.len(), 1 + REPEATS);

    // What was accepted is answered as before, and real changes go on, here and elsewhere.
    assert!(acme.add_flag(first).await.unwrap().into_inner().replayed);
    acme.remove_flag(remove(METER)).await.unwrap();
    assert!(
        acme.add_flag(add(METER))
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    world.flagged(OTHER_METER).await;
    assert!(
        !acme
            .add_flag(add(OTHER_METER))
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    assert_eq!(refused(acme.add_flag(add(METER)).await), QUOTA);

    world.clock.advance(Duration::from_hours(25));
    acme.add_flag(add(METER)).await.unwrap();
}

/// A gaining supplier starts with unused quotas.
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_is_set_and_lifted_in_a_loop_stays_set() {
    let world = World::start().await;
    let mut acme = world.acme();
    world.meter(METER);
    let mut lifted = 0;
    let status = loop {
        acme.add_flag(add(METER)).await.unwrap();
        match acme.remove_flag(remove(METER)).await {
            Ok(_) => lifted += 1,
            Err(status) => break status,
        }
        assert!(lifted < 100, "nobody stops the loop");
    };
    assert_eq!((lifted, told(&status).0.as_str()), (10, "DEVICE_LIFTS"));
    assert_eq!(world.history(METER).await.len(), 21);

    world.registration.put(METER, |authority| {
        authority.responsible_party_id = "RIVAL".into();
        authority.responsible_since_time = Some(crate::world::before(90).unwrap());
    });
    world.caught_up().await;
    let request = wire::RemoveFlagRequest {
        choice: choice("RIVAL", wire::Preference::Full),
        ..remove(METER)
    };
    let answer = world.rival().remove_flag(request).await;
    assert!(answer.unwrap().into_inner().changed);
}

/// The incoming tenant is not read, though its choice is recorded only when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_choice_that_finds_no_room_leaves_the_flag_set() {
    let world = World::start_with(Quotas {
        supplier_repeats: NonZeroU32::MIN,
        ..Quotas::default()
    })
    .await;
    let mut acme = world.acme();
    world.flagged(METER).await;
    world.flagged(OTHER_METER).await;
    acme.add_flag(add(OTHER_METER)).await.unwrap();
    let moved_in = wire::RecordTenancyChangeRequest {
        request_id: request_id(),
        device_id: METER.into(),
        tenancy_start_time: before(600),
        choice: choice("ACME", wire::Preference::Reduced),
        reasonable_steps: steps(),
        site_declarations: declarations(),
        ..Default::default()
    };
    let answer = acme.record_tenancy_change(moved_in.clone()).await;
    assert_eq!(refused(answer), QUOTA);
    let entry = get_entry(&mut acme, METER).await;
    assert_eq!(entry.state(), wire::FlagState::Flagged);

    world.clock.advance(Duration::from_hours(25));
    let answer = acme.record_tenancy_change(moved_in).await.unwrap();
    let entry = answer.into_inner().entry.unwrap();
    assert_eq!(entry.state(), wire::FlagState::Flagged);
    assert_eq!(world.history(METER).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppliers_quota_is_its_own() {
    let quotas = Quotas {
        supplier_repeats: NonZeroU32::new(3).unwrap(),
        ..Quotas::default()
    };
    let world = World::start_with(quotas).await;
    let mut acme = world.acme();
    let meters: Vec<String> = (0..5)
        .map(|n| format!("00-DB-12-34-56-78-91-A{n}"))
        .collect();
    for meter in &meters {
        world.flagged(meter).await;
    }
    // All at once: nobody takes what another has taken.
    let asked = meters.iter().map(|meter| {
        let mut acme = acme.clone();
        async move { acme.add_flag(add(meter)).await }
    });
    let answers = join_all(asked).await;
    let refusals: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals.len(), 2);
    for status in &refusals {
        let (quota, subject, _) = told(status);
        assert_eq!((&*quota, &*subject), ("SUPPLIER_REPEATS", "ACME"));
    }
    acme.remove_flag(remove(&meters[4])).await.unwrap();

    world.registration.put(OTHER_METER, |authority| {
        authority.responsible_party_id = "RIVAL".into();
    });
    let mut rival = world.rival();
    for changed in [true, false] {
        let request = wire::AddFlagRequest {
            choice: choice("RIVAL", wire::Preference::Reduced),
            ..add(OTHER_METER)
        };
        let answer = rival.add_flag(request).await.unwrap().into_inner();
        assert_eq!(answer.changed, changed);
    }
}
