//! Who is responsible, with the evidence, for every kind of Device.

use futures::future::join_all;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_result::Result as Told;
use tonic::Code;

use crate::world::{
    CHF, ESME, EXPORT_ONLY, GPF, GSME, NOW, SINCE, TWIN, World, instant, mpan, refused,
};

const UNKNOWN: &str = "00-DB-12-34-56-78-90-FF";

#[tokio::test]
async fn each_kind_of_device_has_its_supplier() {
    let world = World::with_inventory().await;
    for (device, responsible, secondary) in [
        (ESME, "ACME", ""),
        (TWIN, "ACME", "BOLT"),
        (EXPORT_ONLY, "BOLT", ""),
        (GSME, "GAS", ""),
        (GPF, "GAS", ""),
        (CHF, "", ""),
        (UNKNOWN, "", ""),
    ] {
        let told = world.ask(&device.to_lowercase()).await;
        assert_eq!(told.device_id, device);
        assert_eq!(told.responsible_party_id, responsible, "{device}");
        assert_eq!(told.secondary_responsible_party_id, secondary, "{device}");
        let registered = told.registration.map(|r| r.party_id).unwrap_or_default();
        assert_eq!(registered, responsible, "{device}");
        let active = told.responsible_party_status == i32::from(wire::PartyStatus::Active);
        assert_eq!(active, !responsible.is_empty(), "{device}");
        assert_eq!(told.device.is_some(), device != UNKNOWN, "{device}");
        let hub = told
            .communications_hub
            .map(|hub| (hub.device_id, hub.csp_id));
        let on_hub = !matches!(device, CHF | UNKNOWN);
        assert_eq!(
            hub,
            on_hub.then(|| (CHF.to_owned(), "north".to_owned())),
            "{device}"
        );
        assert_eq!(told.authority_end_time, None, "{device}");
    }
    world.stop().await;
}

#[tokio::test]
async fn questions_at_once_get_each_its_own_answer() {
    let world = World::with_inventory().await;
    let asked = [ESME, GSME, UNKNOWN, EXPORT_ONLY].repeat(10);
    let client = world.authority();
    let told = join_all(asked.iter().map(|&device| {
        let (mut client, device_id) = (client.clone(), device.to_owned());
        let request = wire::GetAuthorityRequest {
            device_id,
            ..Default::default()
        };
        async move { client.get_authority(request).await.unwrap().into_inner() }
    }))
    .await;
    for (device, told) in asked.into_iter().zip(told) {
        let told = told.authority.unwrap();
        assert_eq!(told.device_id, device);
        let responsible = match device {
            ESME => "ACME",
            GSME => "GAS",
            EXPORT_ONLY => "BOLT",
            _ => "",
        };
        assert_eq!(told.responsible_party_id, responsible, "{device}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_answer_is_about_an_instant() {
    let world = World::with_inventory().await;
    world.change(mpan(1), "BOLT", Some(NOW - 10)).await.unwrap();
    world.change(mpan(1), "ACME", Some(NOW + 10)).await.unwrap();
    // Registered once more, ACME goes on.
    world.change(mpan(1), "ACME", Some(NOW + 20)).await.unwrap();
    for (seconds, responsible, since, ends) in [
        (SINCE - 1, "", None, Some(SINCE)),
        (SINCE, "ACME", Some(SINCE), Some(NOW - 10)),
        (NOW - 11, "ACME", Some(SINCE), Some(NOW - 10)),
        (NOW - 10, "BOLT", Some(NOW - 10), Some(NOW + 10)),
        (NOW + 10, "ACME", Some(NOW + 10), Some(NOW + 20)),
        (NOW + 20, "ACME", Some(NOW + 10), None),
    ] {
        let told = world.ask_at(ESME, Some(seconds)).await;
        assert_eq!(told.valid_time, instant(seconds));
        let authority = told.authority.unwrap();
        assert_eq!(authority.responsible_party_id, responsible, "{seconds}");
        assert_eq!(
            authority.authority_end_time,
            ends.and_then(instant),
            "{seconds}"
        );
        assert_eq!(
            authority.responsible_since_time,
            since.and_then(instant),
            "{seconds}"
        );
    }
    assert_eq!(world.ask_at(ESME, None).await.valid_time, instant(NOW));
    world.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_at_one_position() {
    let world = World::with_inventory().await;
    let asked = [GPF, ESME, "rubbish", UNKNOWN, "", GSME];
    let request = wire::BatchGetAuthorityRequest {
        device_ids: asked.iter().map(|&id| id.to_owned()).collect(),
        ..Default::default()
    };
    let answer = world
        .authority()
        .batch_get_authority(request)
        .await
        .unwrap()
        .into_inner();
    let told: Vec<String> = answer
        .results
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            Told::Authority(authority) => authority.responsible_party_id.clone(),
            Told::Status(status) => status.reason().as_str_name().to_owned(),
        })
        .collect();
    let invalid = ErrorReason::FieldInvalid.as_str_name();
    assert_eq!(told, ["GAS", "ACME", invalid, "", invalid, "GAS"]);
    assert_eq!(answer.valid_time, instant(NOW));
    let position = answer.position.unwrap();
    assert_eq!(position.log, "devices");

    let request = |count: usize| wire::BatchGetAuthorityRequest {
        device_ids: (0..count)
            .map(|n| format!("00-DB-00-00-00-00-{:02X}-{:02X}", n >> 8, n & 255))
            .collect(),
        at_least: Some(position.clone()),
        ..Default::default()
    };
    let full = world
        .authority()
        .batch_get_authority(request(1_000))
        .await
        .unwrap();
    assert_eq!(full.into_inner().results.len(), 1_000);
    let many = world
        .authority()
        .batch_get_authority(request(1_001))
        .await
        .unwrap_err();
    assert_eq!(
        refused(&many),
        (Code::InvalidArgument, Some(ErrorReason::TooManyItems))
    );
    let twice = wire::BatchGetAuthorityRequest {
        device_ids: [GPF, ESME, &ESME.to_lowercase()].map(str::to_owned).into(),
        ..Default::default()
    };
    let twice = world.authority().batch_get_authority(twice).await;
    let twice = twice.unwrap_err();
    assert_eq!(
        refused(&twice),
        (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
    );
    let none = world
        .authority()
        .batch_get_authority(request(0))
        .await
        .unwrap();
    assert!(none.into_inner().results.is_empty());
    world.stop().await;
}

/// Asked on behalf of a party, of its own Devices alone.
#[tokio::test]
async fn a_party_is_told_of_its_own_devices_alone() {
    let world = World::with_inventory().await;
    let one = |device: &str, party: &str| wire::GetAuthorityRequest {
        device_id: device.to_owned(),
        for_party_id: party.to_owned(),
        ..Default::default()
    };
    let nothing = |device: &str| wire::Authority {
        device_id: device.to_owned(),
        ..Default::default()
    };
    for (device, party, told) in [
        (ESME, "ACME", true),
        (ESME, "GAS", false),
        (GPF, "GAS", true),
        (GPF, "ACME", false),
        (CHF, "ACME", false),
        (UNKNOWN, "ACME", false),
    ] {
        let answer = world.authority().get_authority(one(device, party)).await;
        let answer = answer.unwrap().into_inner().authority.unwrap();
        let open = world.authority().get_authority(one(device, "")).await;
        let open = open.unwrap().into_inner().authority.unwrap();
        let expected = if told { open } else { nothing(device) };
        assert_eq!(answer, expected, "{device} asked for {party}");
    }
    let batch = wire::BatchGetAuthorityRequest {
        device_ids: [ESME, GPF, UNKNOWN].map(str::to_owned).into(),
        for_party_id: "GAS".into(),
        ..Default::default()
    };
    let batch = world.authority().batch_get_authority(batch).await.unwrap();
    let told = batch.into_inner().results.into_iter();
    let told: Vec<bool> = told
        .map(|result| match result.result.unwrap() {
            Told::Authority(authority) => authority.device.is_some(),
            Told::Status(status) => panic!("{status:?}"),
        })
        .collect();
    assert_eq!(told, [false, true, false]);
    let past = wire::GetAuthorityRequest {
        valid_time: instant(NOW),
        ..one(ESME, "ACME")
    };
    let past = world.authority().get_authority(past).await.unwrap_err();
    assert_eq!(
        refused(&past),
        (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
    );
    world.stop().await;
}

#[tokio::test]
async fn questions_of_parties_are_each_answered_as_one_alone() {
    use wire::authority_for_party_result::Result as Told;
    let world = World::with_inventory().await;
    let asked = [
        (ESME, "ACME"),
        (GPF, "GAS"),
        (ESME, "GAS"),
        ("rubbish", "ACME"),
        (UNKNOWN, "BOLT"),
        (ESME, "ACME"),
        (GSME, ""),
        (CHF, "NOBODY"),
        (GSME, "GAS"),
    ];
    let question = |(device, party): (&str, &str)| wire::AuthorityQuestion {
        device_id: device.to_owned(),
        for_party_id: party.to_owned(),
        for_write: false,
    };
    let several = wire::GetAuthorityForPartiesRequest {
        questions: asked.map(question).into(),
    };
    let several = world
        .authority()
        .get_authority_for_parties(several)
        .await
        .unwrap();
    let results = several.into_inner().results;
    assert_eq!(results.len(), asked.len());
    for ((device, party), result) in asked.into_iter().zip(results) {
        let alone = wire::GetAuthorityRequest {
            device_id: device.to_owned(),
            for_party_id: party.to_owned(),
            ..Default::default()
        };
        match result.result.unwrap() {
            Told::Answer(answer) => {
                let alone = world
                    .authority()
                    .get_authority(alone)
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!(answer, alone, "{device} asked for {party}");
            }
            Told::Status(status) => {
                assert!(device == "rubbish" || party.is_empty(), "{device} {party}");
                assert_eq!(status.reason(), ErrorReason::FieldInvalid);
            }
        }
    }
    let many = wire::GetAuthorityForPartiesRequest {
        questions: vec![question((ESME, "ACME")); 1_001],
    };
    let many = world
        .authority()
        .get_authority_for_parties(many)
        .await
        .unwrap_err();
    assert_eq!(
        refused(&many),
        (Code::InvalidArgument, Some(ErrorReason::TooManyItems))
    );
    let none = wire::GetAuthorityForPartiesRequest::default();
    let none = world
        .authority()
        .get_authority_for_parties(none)
        .await
        .unwrap();
    assert!(none.into_inner().results.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn an_answer_waits_for_the_position_that_must_have_been_seen() {
    let world = World::with_inventory().await;
    let changed = world.change(mpan(1), "BOLT", None).await.unwrap();
    let seen = changed.position.unwrap();
    let ask = async |at_least: Position| {
        let request = wire::GetAuthorityRequest {
            device_id: ESME.to_owned(),
            at_least: Some(at_least),
            ..Default::default()
        };
        world
            .authority()
            .get_authority(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let told = ask(seen.clone()).await.unwrap();
    assert_eq!(told.position, Some(seen.clone()));
    assert_eq!(told.authority.unwrap().responsible_party_id, "BOLT");

    let next = Position {
        sequence: seen.sequence + 1,
        ..seen.clone()
    };
    let (waiting, _) = tokio::join!(ask(next.clone()), world.change(mpan(3), "BOLT", None));
    assert!(waiting.unwrap().position.unwrap().sequence >= next.sequence);

    let other = Position {
        epoch: seen.epoch ^ 1,
        ..seen.clone()
    };
    assert_eq!(
        refused(&ask(other).await.unwrap_err()),
        (
            Code::FailedPrecondition,
            Some(ErrorReason::PositionOfAnotherEpoch)
        )
    );
    let never = Position {
        sequence: u64::MAX >> 2,
        ..seen
    };
    assert_eq!(
        refused(&ask(never).await.unwrap_err()),
        (Code::OutOfRange, Some(ErrorReason::PositionNotReached))
    );
    world.stop().await;
}
