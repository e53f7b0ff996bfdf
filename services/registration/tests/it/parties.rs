//! Parties: records, statuses, lists, and who may read them.

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::ErrorReason;
use mesh_api::registration::v1 as wire;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{ESME, World, entity, party, refused, request_id};

async fn put(
    world: &World,
    request_id: &str,
    party: wire::Party,
    etag: &str,
) -> Result<wire::PutPartyResponse, Status> {
    let request = wire::PutPartyRequest {
        request_id: request_id.to_owned(),
        party: Some(party),
        etag: etag.to_owned(),
    };
    let put = world.parties("operator").put_party(request).await?;
    Ok(put.into_inner())
}

async fn set_status(
    world: &World,
    party: &str,
    status: wire::PartyStatus,
) -> Result<wire::SetPartyStatusResponse, Status> {
    let request = wire::SetPartyStatusRequest {
        request_id: request_id(),
        party_id: party.to_owned(),
        status: status.into(),
        reason: String::new(),
    };
    let set = world.parties("operator").set_party_status(request).await?;
    Ok(set.into_inner())
}

#[tokio::test]
async fn a_party_is_recorded_once_and_changed_by_its_etag() {
    let world = World::start().await;
    let acme = wire::Party {
        // Neither is the caller's to say.
        status: wire::PartyStatus::Suspended.into(),
        etag: "9".to_owned(),
        ..party("ACME", 1, &[Role::ImportSupplier])
    };
    let id = request_id();
    let first = put(&world, &id, acme.clone(), "0").await.unwrap();
    let recorded = first.party.clone().unwrap();
    assert_eq!(recorded.status(), wire::PartyStatus::Active);
    assert_eq!(recorded.etag, "1");
    let position = first.position.clone().unwrap();
    assert_eq!((position.log.as_str(), position.sequence), ("parties", 1));

    // The same id with another writing of the same value is the same request.
    let mut lower = acme.clone();
    lower.identities[0].entity_id.make_ascii_lowercase();
    let again = put(&world, &id.to_uppercase(), lower, "0").await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.party, again.position), (first.party, first.position));

    let renamed = wire::Party {
        name: "Acme Energy".to_owned(),
        ..acme.clone()
    };
    let reused = put(&world, &id, renamed.clone(), "0").await.unwrap_err();
    assert_eq!(
        refused(&reused),
        (Code::AlreadyExists, Some(ErrorReason::RequestIdReused))
    );
    let stale = put(&world, &request_id(), renamed.clone(), "0")
        .await
        .unwrap_err();
    assert_eq!(
        refused(&stale),
        (Code::Aborted, Some(ErrorReason::EtagMismatch))
    );
    let changed = put(&world, &request_id(), renamed, &recorded.etag)
        .await
        .unwrap();
    assert_eq!(changed.party.unwrap().etag, "2");

    let other = party("OTHER", 1, &[Role::GasSupplier]);
    let taken = put(&world, &request_id(), other, "").await.unwrap_err();
    assert_eq!(
        refused(&taken),
        (
            Code::FailedPrecondition,
            Some(ErrorReason::ContradictsRecord)
        )
    );
    world.stop().await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let world = World::start().await;
    let broken = wire::Party {
        party_id: "lower case".to_owned(),
        csp_id: "NORTH".to_owned(),
        identities: vec![wire::PartyIdentity {
            entity_id: "not one".to_owned(),
            roles: vec![Role::Operator.into(), 9_999],
        }],
        acts_for: vec![String::new()],
        ..wire::Party::default()
    };
    let status = put(&world, "not a uuid", broken, "x").await.unwrap_err();
    assert_eq!(
        refused(&status),
        (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
    );
    let details = status.get_error_details();
    let fields: Vec<&str> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    for field in [
        "party.party_id",
        "party.csp_id",
        "party.identities[0].entity_id",
        "party.identities[0].roles",
        "party.acts_for[0]",
        "request_id",
        "etag",
    ] {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
    let nothing = world
        .parties("operator")
        .put_party(wire::PutPartyRequest::default())
        .await;
    assert_eq!(nothing.unwrap_err().code(), Code::InvalidArgument);
    world.stop().await;
}

#[tokio::test]
async fn a_status_changes_everywhere_and_closing_is_final() {
    let world = World::with_inventory().await;
    world.wait_for_get(&entity(1), ESME, None).await;
    let suspended = set_status(&world, "ACME", wire::PartyStatus::Suspended)
        .await
        .unwrap();
    assert_eq!(
        suspended.party.unwrap().status(),
        wire::PartyStatus::Suspended
    );
    world
        .wait_for_get(&entity(1), ESME, Some(ErrorReason::PartyNotActive))
        .await;
    let told = world.ask(ESME).await;
    assert_eq!(told.responsible_party_id, "ACME");
    assert_eq!(
        told.responsible_party_status(),
        wire::PartyStatus::Suspended
    );

    // Replacing the record does not reinstate it.
    let electricity = [Role::ImportSupplier];
    let renamed = put(&world, &request_id(), party("ACME", 1, &electricity), "")
        .await
        .unwrap();
    assert_eq!(
        renamed.party.unwrap().status(),
        wire::PartyStatus::Suspended
    );
    set_status(&world, "ACME", wire::PartyStatus::Active)
        .await
        .unwrap();
    world.wait_for_get(&entity(1), ESME, None).await;

    set_status(&world, "ACME", wire::PartyStatus::Closed)
        .await
        .unwrap();
    let back = set_status(&world, "ACME", wire::PartyStatus::Active)
        .await
        .unwrap_err();
    assert_eq!(
        refused(&back),
        (
            Code::FailedPrecondition,
            Some(ErrorReason::ContradictsRecord)
        )
    );
    let unknown = set_status(&world, "NOBODY", wire::PartyStatus::Closed)
        .await
        .unwrap_err();
    assert_eq!(
        refused(&unknown),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let none = set_status(&world, "ACME", wire::PartyStatus::Unspecified)
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    world.stop().await;
}

/// Names and reasons are read by people, in tables and logs beside text that they trust.
#[tokio::test]
async fn text_that_cannot_be_seen_is_refused_and_its_character_named() {
    let world = World::with_inventory().await;
    let told = |status: &Status| {
        assert_eq!(
            refused(status),
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
        );
        let details = status.get_error_details();
        let bad = &details.bad_request().unwrap().field_violations[0];
        format!("{} {}", bad.field, bad.description)
    };
    for (text, code) in [
        ("a\0b", "U+0000"),
        ("a\rb", "U+000D"),
        ("a\u{1B}[2Jb", "U+001B"),
        ("a\u{9B}2Jb", "U+009B"),
        ("a\u{200B}b", "U+200B"),
        ("a\u{202E}b", "U+202E"),
        ("a\u{2066}b", "U+2066"),
        ("a\u{A0}b", "U+00A0"),
        ("a\u{E000}b", "U+E000"),
    ] {
        let named = wire::Party {
            name: text.to_owned(),
            ..party("DOVE", 77, &[Role::OtherUser])
        };
        let status = put(&world, &request_id(), named, "").await.unwrap_err();
        let wrong = told(&status);
        assert!(
            wrong.starts_with("party.name ") && wrong.contains(code),
            "{wrong}"
        );
        let request = wire::SetPartyStatusRequest {
            request_id: request_id(),
            party_id: "ACME".to_owned(),
            status: wire::PartyStatus::Suspended.into(),
            reason: text.to_owned(),
        };
        let set = world.parties("operator").set_party_status(request).await;
        let wrong = told(&set.unwrap_err());
        assert!(
            wrong.starts_with("reason ") && wrong.contains(code),
            "{wrong}"
        );
    }
    let named = wire::Party {
        name: " Mo\u{302}n Energy ".to_owned(),
        ..party("DOVE", 77, &[Role::OtherUser])
    };
    let put = put(&world, &request_id(), named, "").await.unwrap();
    assert_eq!(put.party.unwrap().name, "M\u{F4}n Energy");
    world.stop().await;
}

#[tokio::test]
async fn a_party_reads_itself_and_nobody_else() {
    let world = World::with_inventory().await;
    world.wait_for_get(&entity(1), ESME, None).await;
    let get = async |id: &str| {
        let request = wire::GetPartyRequest {
            party_id: id.to_owned(),
            ..Default::default()
        };
        let mut acme = world.parties_as(&entity(1));
        acme.get_party(request)
            .await
            .map(|found| found.into_inner().party.unwrap())
    };
    assert_eq!(get("ACME").await.unwrap().name, "ACME Ltd");
    for other in ["BOLT", "NOBODY"] {
        let status = get(other).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (Code::PermissionDenied, Some(ErrorReason::NotOwnData))
        );
    }
    let request = wire::GetPartyRequest {
        party_id: "NOBODY".to_owned(),
        ..Default::default()
    };
    let status = world
        .parties("auditor")
        .get_party(request)
        .await
        .unwrap_err();
    assert_eq!(
        refused(&status),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    world.stop().await;
}

#[tokio::test]
async fn pages_show_one_position_and_belong_to_one_caller() {
    let world = World::with_inventory().await;
    let list = async |role: &str, token: &str, size: i32| {
        let request = wire::ListPartiesRequest {
            page_size: size,
            page_token: token.to_owned(),
            ..Default::default()
        };
        world
            .parties(role)
            .list_parties(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let ids = |page: &wire::ListPartiesResponse| -> Vec<String> {
        page.parties
            .iter()
            .map(|party| party.party_id.clone())
            .collect()
    };
    let first = list("operator", "", 2).await.unwrap();
    assert_eq!(ids(&first), ["ACME", "BOLT"]);
    put(
        &world,
        &request_id(),
        party("CLAY", 9, &[Role::GasSupplier]),
        "",
    )
    .await
    .unwrap();
    let second = list("operator", &first.next_page_token, 2).await.unwrap();
    assert_eq!(
        (ids(&second), second.position),
        (vec!["GAS".to_owned()], first.position)
    );
    assert_eq!(second.next_page_token, "");
    assert_eq!(list("operator", "", 0).await.unwrap().parties.len(), 4);

    for (role, token) in [
        ("auditor", first.next_page_token.as_str()),
        ("operator", "rubbish"),
    ] {
        let status = list(role, token, 2).await.unwrap_err();
        assert_eq!(
            refused(&status),
            (Code::InvalidArgument, Some(ErrorReason::PageTokenInvalid))
        );
    }
    let negative = list("operator", "", -1).await.unwrap_err();
    assert_eq!(refused(&negative).1, Some(ErrorReason::FieldInvalid));
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_organisation_is_not_recognised_until_it_is_recorded() {
    let world = World::with_inventory().await;
    let newcomer = entity(0x77);
    world
        .wait_for_get(&newcomer, ESME, Some(ErrorReason::PartyUnknown))
        .await;
    let party = party("NEW", 0x77, &[Role::ImportSupplier]);
    put(&world, &request_id(), party, "").await.unwrap();
    world
        .wait_for_get(&newcomer, ESME, Some(ErrorReason::NotResponsibleSupplier))
        .await;
    world.stop().await;
}
