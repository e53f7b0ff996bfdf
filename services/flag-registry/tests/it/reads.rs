//! Reading flags and histories.

use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{FlagState, flag_result};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::registration::hub;
use crate::world::{METER, OTHER_HUB, OTHER_METER, World, add, get, refused, remove};

fn device(number: u8) -> String {
    format!("00-DB-00-00-00-00-00-{number:02X}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_device_for_itself() {
    let world = World::start().await;
    world.flagged(METER).await;
    world.flagged(&device(0xAB)).await;
    world.registration.put(OTHER_METER, |authority| {
        authority.responsible_party_id = "RIVAL".into();
    });
    let request = wire::BatchGetFlagsRequest {
        device_ids: vec![
            METER.into(),
            OTHER_METER.into(),
            "rubbish".into(),
            device(0xAB).to_lowercase(),
        ],
        ..Default::default()
    };
    let answer = world
        .acme()
        .batch_get_flags(request.clone())
        .await
        .unwrap()
        .into_inner();
    let results: Vec<_> = answer
        .results
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            flag_result::Result::Entry(entry) => Ok(entry.state()),
            flag_result::Result::Status(status) => Err(status.reason()),
        })
        .collect();
    assert_eq!(
        results,
        [
            Ok(FlagState::Flagged),
            Err(ErrorReason::NotResponsibleSupplier),
            Err(ErrorReason::FieldInvalid),
            Ok(FlagState::Flagged),
        ]
    );
    let dsp = world
        .internal("dsp")
        .batch_get_flags(request)
        .await
        .unwrap();
    let other = dsp.into_inner().results[1].result.clone().unwrap();
    assert!(matches!(other, flag_result::Result::Entry(entry) if entry.last_sequence == 0));

    let many = wire::BatchGetFlagsRequest {
        device_ids: vec![METER.into(); 1001],
        ..Default::default()
    };
    assert_eq!(
        refused(world.acme().batch_get_flags(many).await),
        (Code::InvalidArgument, ErrorReason::TooManyItems)
    );
}

/// In another notation, too, and for those who may see every Device.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_names_each_device_once() {
    let world = World::start().await;
    world.flagged(METER).await;
    let request = wire::BatchGetFlagsRequest {
        device_ids: vec![
            METER.into(),
            "rubbish".into(),
            METER.to_lowercase(),
            "rubbish".into(),
            OTHER_METER.into(),
            METER.into(),
        ],
        ..Default::default()
    };
    for mut client in [world.acme(), world.internal("dsp")] {
        let status = client.batch_get_flags(request.clone()).await.unwrap_err();
        let details = status.get_error_details();
        let fields = &details.bad_request().unwrap().field_violations;
        let fields = fields.iter().map(|at| (&at.field[..], &at.description[..]));
        let first = "is the Device of device_ids[0]";
        let expected = [("device_ids[2]", first), ("device_ids[5]", first)];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
        assert_eq!(
            refused::<()>(Err(status)),
            (Code::InvalidArgument, ErrorReason::FieldInvalid)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_what_the_caller_has_seen() {
    let world = World::start().await;
    let position = world.flagged(METER).await.position.unwrap();
    let mut acme = world.acme();
    let at_least = |position| wire::GetFlagRequest {
        at_least: Some(position),
        ..get(METER)
    };
    let answer = acme.get_flag(at_least(position.clone())).await.unwrap();
    assert_eq!(answer.into_inner().position, Some(position.clone()));
    let next = Position {
        sequence: position.sequence + 1,
        ..position.clone()
    };
    let waiting = {
        let mut acme = acme.clone();
        let request = at_least(next.clone());
        tokio::spawn(async move { acme.get_flag(request).await })
    };
    acme.remove_flag(remove(METER)).await.unwrap();
    let answer = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.position, Some(next));
    assert_eq!(answer.entry.unwrap().state(), FlagState::NotFlagged);
    let elsewhere = Position {
        epoch: position.epoch ^ 1,
        ..position
    };
    assert_eq!(
        refused(acme.get_flag(at_least(elsewhere)).await),
        (
            Code::FailedPrecondition,
            ErrorReason::PositionOfAnotherEpoch
        )
    );
}

/// All pages of a list, and how many there were.
async fn pages(
    client: &mut crate::world::Client,
    request: wire::ListFlagsRequest,
) -> (Vec<wire::FlagEntry>, usize) {
    let mut request = request;
    let mut entries = Vec::new();
    for count in 1.. {
        let page = client
            .list_flags(request.clone())
            .await
            .unwrap()
            .into_inner();
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return (entries, count);
        }
        request.page_token = page.next_page_token;
    }
    unreachable!("a list ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_at_one_position_and_filtered() {
    let world = World::start().await;
    for number in 1..=7 {
        world.flagged(&device(number)).await;
    }
    world.registration.put(&device(8), |authority| {
        authority.device.as_mut().unwrap().communications_hub_id = OTHER_HUB.into();
        authority.communications_hub = Some(hub(OTHER_HUB, "south"));
    });
    let mut acme = world.acme();
    acme.add_flag(add(&device(8))).await.unwrap();
    acme.remove_flag(remove(&device(3))).await.unwrap();
    let mut operator = world.internal("operator");
    let ids = |entries: &[wire::FlagEntry]| -> Vec<String> {
        entries
            .iter()
            .map(|entry| entry.device_id.clone())
            .collect()
    };
    let expected: Vec<_> = (1..=8).map(device).collect();
    for size in [1, 3, 4, 8, 1000, i32::MAX] {
        let request = wire::ListFlagsRequest {
            page_size: size,
            ..Default::default()
        };
        let (entries, count) = pages(&mut operator, request).await;
        assert_eq!(ids(&entries), expected);
        assert_eq!(
            count,
            8_usize.div_ceil(usize::try_from(size).unwrap().min(8))
        );
    }
    let filtered = |party: &str, state: FlagState, csp: &str| wire::ListFlagsRequest {
        party_id: party.into(),
        state: state.into(),
        csp_id: csp.into(),
        ..Default::default()
    };
    let flagged = filtered("", FlagState::Flagged, "");
    assert_eq!(pages(&mut operator, flagged).await.0.len(), 7);
    let lifted = filtered("", FlagState::NotFlagged, "north");
    assert_eq!(ids(&pages(&mut operator, lifted).await.0), [device(3)]);
    let south = filtered("ACME", FlagState::Unspecified, "south");
    assert_eq!(ids(&pages(&mut acme, south).await.0), [device(8)]);
    let rival = filtered("RIVAL", FlagState::Unspecified, "");
    assert_eq!(pages(&mut world.rival(), rival.clone()).await.0, []);
    assert_eq!(
        refused(acme.list_flags(rival).await),
        (Code::PermissionDenied, ErrorReason::NotOwnData)
    );
    assert_eq!(
        refused(
            operator
                .list_flags(filtered("acme", FlagState::Flagged, "North"))
                .await
        ),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_one_position_whatever_happens_meanwhile() {
    let world = World::start().await;
    for number in 1..=4 {
        world.flagged(&device(number)).await;
    }
    let mut operator = world.internal("operator");
    let request = wire::ListFlagsRequest {
        page_size: 2,
        ..Default::default()
    };
    let first = operator
        .list_flags(request.clone())
        .await
        .unwrap()
        .into_inner();
    world.acme().remove_flag(remove(&device(4))).await.unwrap();
    world.flagged(&device(5)).await;
    let second = wire::ListFlagsRequest {
        page_token: first.next_page_token,
        ..request
    };
    let second = operator.list_flags(second).await.unwrap().into_inner();
    assert_eq!(second.position, first.position);
    let states: Vec<_> = second.entries.iter().map(wire::FlagEntry::state).collect();
    assert_eq!(states, [FlagState::Flagged, FlagState::Flagged]);
    assert_eq!(second.next_page_token, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_are_good_for_their_caller_and_request_only() {
    let world = World::start().await;
    for number in 1..=3 {
        world.flagged(&device(number)).await;
    }
    let request = wire::ListFlagsRequest {
        page_size: 1,
        party_id: "ACME".into(),
        ..Default::default()
    };
    let mut acme = world.acme();
    let token = acme
        .list_flags(request.clone())
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    let with = |request: &wire::ListFlagsRequest, token: &str| wire::ListFlagsRequest {
        page_token: token.into(),
        ..request.clone()
    };
    acme.list_flags(with(&request, &token)).await.unwrap();
    let invalid = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    let mut operator = world.internal("operator");
    assert_eq!(
        refused(operator.list_flags(with(&request, &token)).await),
        invalid
    );
    let other = wire::ListFlagsRequest {
        csp_id: "north".into(),
        ..request.clone()
    };
    for (request, token) in [
        (&other, token.as_str()),
        (&request, "x"),
        (&request, &token[1..]),
    ] {
        assert_eq!(
            refused(acme.list_flags(with(request, token)).await),
            invalid
        );
    }
    let events = wire::ListFlagEventsRequest {
        device_id: device(1),
        page_token: token,
        page_size: 0,
        ..Default::default()
    };
    assert_eq!(refused(acme.list_flag_events(events).await), invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_paged_newest_first() {
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    for _ in 0..3 {
        acme.add_flag(add(METER)).await.unwrap();
        world.flagged(OTHER_METER).await;
        acme.remove_flag(remove(METER)).await.unwrap();
    }
    let all = world.history(METER).await;
    let mut request = wire::ListFlagEventsRequest {
        device_id: METER.into(),
        page_size: 4,
        page_token: String::new(),
        ..Default::default()
    };
    let mut seen = Vec::new();
    let first = acme
        .list_flag_events(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.events.len(), 4);
    seen.extend(first.events);
    // What happens now is not on the next page.
    acme.add_flag(add(METER)).await.unwrap();
    request.page_token = first.next_page_token;
    let second = acme
        .list_flag_events(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(second.next_page_token, "");
    seen.extend(second.events);
    seen.reverse();
    assert_eq!(seen, all);
    request.page_size = -1;
    assert_eq!(
        refused(acme.list_flag_events(request).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
}
