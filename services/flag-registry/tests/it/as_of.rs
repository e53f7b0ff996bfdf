//! What was, and what was known of it when.

use std::time::Duration;

use mesh_api::common::v1::{
    AsOf, ErrorReason, FollowStart, Position, SnapshotStart, as_of::Known, follow_start::Start,
};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, FlagState, flag_result};
use mesh_types::{Clock as _, Timestamp};
use tonic::Code;

use crate::registration::hub;
use crate::world::{
    Client, LogReader, METER, NOW, OTHER_HUB, OTHER_METER, World, add, get, refused, remove,
};

fn after_now(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW.micros() + seconds * 1_000_000)
}

fn position(position: &Position) -> Option<AsOf> {
    let known = Some(Known::Position(position.clone()));
    Some(AsOf { known })
}

fn known(at: Timestamp) -> Option<AsOf> {
    let known = Some(Known::KnownTime(timestamp_to_wire(at)));
    Some(AsOf { known })
}

async fn asked(
    client: &mut Client,
    as_of: Option<AsOf>,
    valid: Option<Timestamp>,
) -> wire::GetFlagResponse {
    let request = wire::GetFlagRequest {
        as_of,
        valid_time: valid.map(timestamp_to_wire),
        ..get(METER)
    };
    client.get_flag(request).await.unwrap().into_inner()
}

fn ids(entries: &[wire::FlagEntry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.device_id.as_str())
        .collect()
}

/// METER: flagged by ACME at 0 s, lifted at 20 s. OTHER_METER: flagged at 10 s.
async fn world() -> (World, [Position; 3]) {
    let world = World::start().await;
    let first = world.flagged(METER).await.position.unwrap();
    world.clock.advance(Duration::from_secs(10));
    let second = world.flagged(OTHER_METER).await.position.unwrap();
    world.clock.advance(Duration::from_secs(10));
    let lifted = world.acme().remove_flag(remove(METER)).await.unwrap();
    let third = lifted.into_inner().position.unwrap();
    world.clock.advance(Duration::from_secs(10));
    (world, [first, second, third])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_read_as_of_a_position_and_of_a_time() {
    let (world, [first, second, third]) = world().await;
    let mut acme = world.acme();
    let nothing = Position {
        sequence: 0,
        ..first.clone()
    };
    for (as_of, shown, state) in [
        (position(&nothing), &nothing, FlagState::NotFlagged),
        (position(&first), &first, FlagState::Flagged),
        (position(&second), &second, FlagState::Flagged),
        (position(&third), &third, FlagState::NotFlagged),
        (known(after_now(-1)), &nothing, FlagState::NotFlagged),
        (known(after_now(0)), &first, FlagState::Flagged),
        (known(after_now(9)), &first, FlagState::Flagged),
        (known(after_now(10)), &second, FlagState::Flagged),
        (known(after_now(29)), &third, FlagState::NotFlagged),
    ] {
        let answer = asked(&mut acme, as_of.clone(), None).await;
        assert_eq!(answer.position.as_ref(), Some(shown), "{as_of:?}");
        let entry = answer.entry.unwrap();
        assert_eq!(entry.state(), state, "{as_of:?}");
        assert_eq!(entry.last_sequence > 0, shown.sequence > 0, "{as_of:?}");
        let batch = wire::BatchGetFlagsRequest {
            device_ids: vec![METER.into()],
            as_of,
            ..Default::default()
        };
        let batch = acme.batch_get_flags(batch).await.unwrap().into_inner();
        let told = batch.results[0].result.clone();
        assert_eq!(told, Some(flag_result::Result::Entry(entry)));
    }
    // What is about to be recorded is waited for.
    let next = Position {
        sequence: third.sequence + 1,
        ..third
    };
    let mut other = world.acme();
    let recording = other.add_flag(add(METER));
    let (answer, _) = tokio::join!(asked(&mut acme, position(&next), None), recording);
    assert_eq!(answer.entry.unwrap().state(), FlagState::Flagged);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_refused() {
    let (world, [first, ..]) = world().await;
    let mut acme = world.acme();
    let elsewhere = |change: fn(&mut Position)| {
        let mut at = first.clone();
        change(&mut at);
        position(&at)
    };
    let invalid = (Code::InvalidArgument, ErrorReason::FieldInvalid);
    for (as_of, valid, refusal) in [
        (Some(AsOf { known: None }), None, invalid),
        (known(world.clock.now()), None, invalid),
        (known(after_now(3_600)), None, invalid),
        (None, Some(after_now(31)), invalid),
        (elsewhere(|at| at.log = "devices".into()), None, invalid),
        (elsewhere(|at| at.epoch = 0), None, invalid),
        (
            elsewhere(|at| at.epoch ^= 1),
            None,
            (
                Code::FailedPrecondition,
                ErrorReason::PositionOfAnotherEpoch,
            ),
        ),
        (
            elsewhere(|at| at.sequence = 99),
            None,
            (Code::OutOfRange, ErrorReason::PositionNotReached),
        ),
    ] {
        let request = wire::GetFlagRequest {
            as_of: as_of.clone(),
            valid_time: valid.map(timestamp_to_wire),
            ..get(METER)
        };
        assert_eq!(refused(acme.get_flag(request).await), refusal, "{as_of:?}");
    }
    let request = wire::ListFlagsRequest {
        party_id: "acme".into(),
        page_size: -1,
        as_of: Some(AsOf::default()),
        ..Default::default()
    };
    let status = world.internal("operator").list_flags(request).await;
    let details = tonic_types::StatusExt::get_error_details(&status.unwrap_err());
    let fields = details.bad_request().unwrap().field_violations.iter();
    let fields: Vec<_> = fields.map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["party_id", "as_of", "page_size"]);
}

/// Each part by itself: a change of supplier that is recorded late brings nothing else back.
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_read_as_it_was_at_an_instant() {
    let (world, [first, _, third]) = world().await;
    world.registration.put(METER, |authority| {
        authority.device.as_mut().unwrap().communications_hub_id = OTHER_HUB.into();
        authority.communications_hub = Some(hub(OTHER_HUB, "south"));
    });
    // RIVAL was responsible from 5 s on, as is recorded last.
    world
        .registration
        .change_supplier(METER, "RIVAL", after_now(5), "");
    world.caught_up().await;
    let mut auditor = world.internal("auditor");
    let mut told = async |as_of: Option<AsOf>, seconds: i64| {
        let entry = asked(&mut auditor, as_of, Some(after_now(seconds))).await;
        let entry = entry.entry.unwrap();
        let since = entry.since_time.map(|since| since.seconds);
        let since = since.map(|since| since - NOW.micros() / 1_000_000);
        let party = entry.responsible_party_id.clone();
        (entry.state(), since, party)
    };
    let acme = || "ACME".to_owned();
    let rival = || "RIVAL".to_owned();
    use FlagState::{Flagged, NotFlagged};
    assert_eq!(told(None, -1).await, (NotFlagged, None, String::new()));
    assert_eq!(told(None, 4).await, (Flagged, Some(0), acme()));
    assert_eq!(told(None, 5).await, (Flagged, Some(0), rival()));
    assert_eq!(told(None, 19).await, (Flagged, Some(0), rival()));
    assert_eq!(told(None, 20).await, (NotFlagged, Some(20), rival()));
    assert_eq!(told(None, 30).await, (NotFlagged, Some(20), rival()));
    // It was not known then.
    let before = (NotFlagged, Some(20), acme());
    assert_eq!(told(position(&third), 30).await, before);
    let before = (Flagged, Some(0), acme());
    assert_eq!(told(position(&first), 30).await, before);
    assert_eq!(told(known(after_now(9)), 19).await, before);
    // The hub is another one since it was recorded so.
    let entry = asked(&mut auditor, None, Some(after_now(-1))).await.entry;
    let entry = entry.unwrap();
    assert_eq!(
        (entry.csp_id.as_str(), entry.cause()),
        ("", Cause::Unspecified)
    );
    assert!(entry.last_sequence > third.sequence);
}

/// Who may ask is decided by what holds now; of earlier suppliers it is not told who they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_reads_of_earlier_times_and_not_of_earlier_suppliers() {
    let (world, [first, second, _]) = world().await;
    world
        .registration
        .change_supplier(METER, "RIVAL", after_now(25), "");
    world.caught_up().await;
    let mut rival = world.rival();
    let entry = asked(&mut rival, position(&first), None).await.entry;
    let entry = entry.unwrap();
    assert_eq!(entry.state(), FlagState::Flagged);
    assert_eq!(entry.responsible_party_id, "");
    assert_eq!(entry.cause(), Cause::FlagAdded);
    let entry = asked(&mut rival, None, Some(after_now(24))).await.entry;
    assert_eq!(entry.unwrap().responsible_party_id, "");
    let entry = asked(&mut rival, None, Some(after_now(25))).await.entry;
    assert_eq!(entry.unwrap().responsible_party_id, "RIVAL");
    let entry = asked(&mut world.internal("auditor"), position(&first), None).await;
    assert_eq!(entry.entry.unwrap().responsible_party_id, "ACME");
    let request = wire::GetFlagRequest {
        as_of: position(&first),
        ..get(METER)
    };
    assert_eq!(
        refused(world.acme().get_flag(request).await),
        (Code::PermissionDenied, ErrorReason::NotResponsibleSupplier)
    );

    let list = |party: &str| wire::ListFlagsRequest {
        party_id: party.into(),
        as_of: position(&second),
        ..Default::default()
    };
    let listed = async |mut client: Client, party: &str| {
        let answer = client.list_flags(list(party)).await.unwrap().into_inner();
        assert_eq!(answer.position.as_ref(), Some(&second));
        answer.entries
    };
    // The present supplier was not responsible then, and the one that was is it no longer.
    assert_eq!(ids(&listed(world.rival(), "RIVAL").await), [""; 0]);
    assert_eq!(ids(&listed(world.acme(), "ACME").await), [OTHER_METER]);
    let operator = world.internal("operator");
    assert_eq!(ids(&listed(operator, "ACME").await), [METER, OTHER_METER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_histories_go_up_to_where_they_are_asked_for() {
    let (world, [first, second, third]) = world().await;
    let mut operator = world.internal("operator");
    let request = wire::ListFlagsRequest {
        page_size: 1,
        state: FlagState::Flagged.into(),
        as_of: known(after_now(15)),
        ..Default::default()
    };
    let page = operator.list_flags(request.clone()).await.unwrap();
    let page = page.into_inner();
    assert_eq!(
        (ids(&page.entries), &page.position),
        (vec![METER], &Some(second))
    );
    let next = wire::ListFlagsRequest {
        page_token: page.next_page_token,
        ..request
    };
    let page = operator
        .list_flags(next.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ids(&page.entries), [OTHER_METER]);
    for as_of in [None, known(after_now(16)), position(&third)] {
        let other = wire::ListFlagsRequest {
            as_of,
            ..next.clone()
        };
        assert_eq!(
            refused(operator.list_flags(other).await),
            (Code::InvalidArgument, ErrorReason::PageTokenInvalid)
        );
    }

    let mut history = async |as_of| {
        let request = wire::ListFlagEventsRequest {
            device_id: METER.into(),
            as_of,
            ..Default::default()
        };
        let answer = operator.list_flag_events(request).await.unwrap();
        let events = answer.into_inner().events;
        events
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>()
    };
    assert_eq!(history(None).await, [third.sequence, first.sequence]);
    assert_eq!(history(known(after_now(19))).await, [first.sequence]);
    assert_eq!(history(known(after_now(-1))).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_shows_an_earlier_position_and_the_tail_follows() {
    let (world, [_, second, third]) = world().await;
    let snapshot = SnapshotStart {
        position: Some(second),
    };
    let request = wire::FollowFlagsRequest {
        start: Some(FollowStart {
            start: Some(Start::Snapshot(snapshot)),
            seen: None,
        }),
    };
    let mut auditor = world.internal("auditor");
    let stream = auditor.follow_flags(request).await.unwrap();
    let mut reader = LogReader::new(stream.into_inner());
    reader.read_to(&third).await;
    let shown: Vec<_> = reader.snapshot.keys().map(String::as_str).collect();
    assert_eq!(shown, [METER, OTHER_METER]);
    let causes: Vec<_> = reader.events.iter().map(wire::FlagEvent::cause).collect();
    assert_eq!(causes, [Cause::FlagRemoved]);
}
