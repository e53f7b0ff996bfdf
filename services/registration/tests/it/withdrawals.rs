//! A change that was announced is withdrawn: by whom, until when, and what others see of it.

use mesh_api::common::v1::{AsOf, ErrorReason, as_of::Known};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::row_result::Outcome;
use tonic::{Code, Status};

use crate::world::{
    ESME, NOW, SINCE, World, at, instant, mpan, refused, registered, request_id, row,
};

/// An hour ahead.
const START: i64 = NOW + 3_600;

fn request(party: &str, start: i64) -> wire::WithdrawRegistrationRequest {
    wire::WithdrawRegistrationRequest {
        request_id: request_id(),
        mpxn: mpan(1),
        party_id: party.to_owned(),
        start_time: instant(start),
    }
}

async fn withdraw(
    world: &World,
    request: wire::WithdrawRegistrationRequest,
) -> Result<wire::WithdrawRegistrationResponse, Status> {
    let mut loader = world.devices("registration-data");
    let answer = loader.withdraw_registration(request).await?;
    Ok(answer.into_inner())
}

async fn listed(world: &World, as_of: Option<AsOf>) -> Vec<(String, Option<i64>)> {
    let request = wire::ListRegistrationsRequest {
        mpxn: mpan(1),
        as_of,
        ..Default::default()
    };
    let mut auditor = world.devices("auditor");
    let answer = auditor.list_registrations(request).await.unwrap();
    let all = answer.into_inner().registrations.into_iter();
    all.map(|r| (r.party_id, r.end_time.map(|end| end.seconds)))
        .collect()
}

#[tokio::test]
async fn an_announced_change_is_withdrawn_once() {
    let world = World::with_inventory().await;
    let announced = world.change(mpan(1), "BOLT", Some(START)).await.unwrap();
    let end = world.ask(ESME).await.authority_end_time;
    assert_eq!(end, instant(START));

    world.clock.set(at(NOW + 10));
    let asked = request("BOLT", START);
    let answer = withdraw(&world, asked.clone()).await.unwrap();
    assert_eq!(answer.withdrawn, announced.registration);
    let resumed = answer.resumed.clone().unwrap();
    assert_eq!(
        (resumed.party_id.as_str(), resumed.end_time),
        ("ACME", None)
    );
    assert_eq!(world.ask(ESME).await.authority_end_time, None);
    // The same request has the same answer, whatever the time is then.
    world.clock.set(at(START + 10));
    let again = withdraw(&world, asked.clone()).await.unwrap();
    assert!(again.replayed && !answer.replayed);
    assert_eq!(
        (again.withdrawn, again.resumed, again.position),
        (answer.withdrawn, answer.resumed, answer.position)
    );
    assert_eq!(world.ask(ESME).await.responsible_party_id, "ACME");
    let other = wire::WithdrawRegistrationRequest {
        party_id: "ACME".to_owned(),
        ..asked
    };
    let reused = withdraw(&world, other).await.unwrap_err();
    assert_eq!(
        refused(&reused),
        (Code::AlreadyExists, Some(ErrorReason::RequestIdReused))
    );
    let gone = withdraw(&world, request("BOLT", START)).await.unwrap_err();
    assert_eq!(
        refused(&gone),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );

    // What was known before still shows it.
    let known = |seconds| {
        let known = instant(seconds).map(Known::KnownTime);
        Some(AsOf { known })
    };
    let acme = |end| ("ACME".to_owned(), end);
    let bolt = ("BOLT".to_owned(), None);
    let then = listed(&world, known(NOW + 9)).await;
    assert_eq!(then, [acme(Some(START)), bolt]);
    assert_eq!(listed(&world, known(NOW + 10)).await, [acme(None)]);
    assert_eq!(listed(&world, None).await, [acme(None)]);
    world.stop().await;
}

#[tokio::test]
async fn what_has_begun_or_is_about_to_stays() {
    let world = World::with_inventory().await;
    world.change(mpan(1), "BOLT", Some(START)).await.unwrap();
    let begun = (
        Code::FailedPrecondition,
        Some(ErrorReason::RegistrationBegun),
    );
    for (now, start, party) in [
        (NOW, SINCE, "ACME"),
        (START - 60, START, "BOLT"),
        (START - 1, START, "BOLT"),
        (START, START, "BOLT"),
        (START + 60, START, "BOLT"),
    ] {
        world.clock.set(at(now));
        let status = withdraw(&world, request(party, start)).await.unwrap_err();
        assert_eq!(refused(&status), begun, "{now}");
    }
    assert_eq!(world.ask(ESME).await.responsible_party_id, "BOLT");
    // Until a minute before.
    let next = START + 3_600;
    world.change(mpan(1), "ACME", Some(next)).await.unwrap();
    world.clock.set(at(next - 61));
    withdraw(&world, request("ACME", next)).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_withdrawal_names_the_registration_and_the_caller_may() {
    let world = World::with_inventory().await;
    world.change(mpan(1), "BOLT", Some(START)).await.unwrap();
    let sound = || request("BOLT", START);
    for (what, wrong) in [
        (
            "request_id",
            wire::WithdrawRegistrationRequest {
                request_id: "1".to_owned(),
                ..sound()
            },
        ),
        (
            "mpxn",
            wire::WithdrawRegistrationRequest {
                mpxn: "1312345678111".to_owned(),
                ..sound()
            },
        ),
        ("party_id", request("", START)),
        (
            "start_time",
            wire::WithdrawRegistrationRequest {
                start_time: None,
                ..sound()
            },
        ),
    ] {
        let status = withdraw(&world, wrong).await.unwrap_err();
        assert_eq!(refused(&status).1, Some(ErrorReason::FieldInvalid));
        let item = mesh_api::status::item_status(&status);
        assert_eq!(item.violations[0].subject, what);
    }
    for start in [START - 1, START + 1, -62_135_596_800, 253_402_300_799] {
        let status = withdraw(&world, request("BOLT", start)).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (Code::NotFound, Some(ErrorReason::NotFound))
        );
    }
    for role in ["auditor", "analyst", "flag-registry"] {
        let answer = world.devices(role).withdraw_registration(sound()).await;
        let denied = (Code::PermissionDenied, Some(ErrorReason::RoleNotPermitted));
        assert_eq!(refused(&answer.unwrap_err()), denied, "{role}");
    }
    let mut operator = world.devices("operator");
    operator.withdraw_registration(sound()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_load_after_a_withdrawal_finds_what_was_there_before() {
    let world = World::with_inventory().await;
    world.change(mpan(1), "BOLT", Some(START)).await.unwrap();
    withdraw(&world, request("BOLT", START)).await.unwrap();
    let rows = vec![
        row(registered(&mpan(1), "ACME", SINCE)),
        row(registered(&mpan(1), "BOLT", START)),
        row(registered(&mpan(9), "BOLT", START)),
    ];
    let results = world.import(rows.clone()).await.unwrap();
    assert_eq!(results[0].outcome(), Outcome::Unchanged);
    let overlap = results[1].status.as_ref().unwrap();
    assert_eq!(overlap.reason(), ErrorReason::RegistrationOverlap);
    // What a load announced is withdrawn as what a change did, and can be loaded again.
    let loaded = wire::WithdrawRegistrationRequest {
        mpxn: mpan(9),
        ..request("BOLT", START)
    };
    let answer = withdraw(&world, loaded).await.unwrap();
    assert_eq!(answer.resumed, None);
    let again = world.import(rows).await.unwrap();
    assert_eq!(again[2].outcome(), Outcome::Recorded);
    world.stop().await;
}
