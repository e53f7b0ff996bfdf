//! Batches of changes: each request is answered as it would be alone, and none spoils another.

use std::num::NonZeroU32;

use flag_registry::Quotas;
use mesh_api::common::v1::{ErrorReason, ItemStatus};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Cause, add_flag_result, remove_flag_result};
use mesh_api::status::item_status;
use mesh_audit::testing::OnDisk;
use mesh_testkit::{temp_dir, wait_until};
use mesh_types::Timestamp;
use tonic::Code;

use crate::world::{Client, METER, NOW, OTHER_METER, World, add, get, refused, remove};

type Added = Result<wire::AddFlagResponse, ItemStatus>;

/// A meter of its own for each number.
fn meter(number: usize) -> String {
    format!("00-DB-12-34-56-79-{:02X}-{:02X}", number >> 8, number & 255)
}

async fn add_all(client: &mut Client, requests: Vec<wire::AddFlagRequest>) -> Vec<Added> {
    let answer = client.batch_add_flags(wire::BatchAddFlagsRequest { requests });
    let answer = answer.await.unwrap().into_inner();
    let last = answer.position;
    let answers: Vec<Added> = answer.results.into_iter().map(added).collect();
    let recorded = answers.iter().flatten();
    let recorded = recorded.filter_map(|answer| answer.position.clone());
    assert_eq!(
        last,
        recorded.max_by_key(|position| position.sequence),
        "the position of the whole is the last"
    );
    answers
}

fn added(result: wire::AddFlagResult) -> Added {
    match result.result.unwrap() {
        add_flag_result::Result::Response(answer) => Ok(answer),
        add_flag_result::Result::Status(status) => Err(status),
    }
}

fn why(answer: &Added) -> ErrorReason {
    answer.as_ref().unwrap_err().reason()
}

/// What each is refused with, it is refused with alone; what is granted is then answered as before.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_is_answered_as_it_would_be_alone() {
    let world = World::start().await;
    let mut acme = world.acme();
    for number in (0..8).chain([11]) {
        world.meter(&meter(number));
    }
    world.registration.put(&meter(8), |authority| {
        authority.responsible_party_id = "RIVAL".into();
    });
    let so_already = add(&meter(1));
    let used = add(&meter(1));
    acme.add_flag(used.clone()).await.unwrap();
    let known = add(&meter(2));
    let first = acme.add_flag(known.clone()).await.unwrap().into_inner();
    let reused = wire::AddFlagRequest {
        device_id: meter(3),
        ..used
    };
    let without = |change: fn(&mut wire::AddFlagRequest), number| {
        let mut request = add(&meter(number));
        change(&mut request);
        request
    };
    let requests = vec![
        add(&meter(0)),
        so_already,
        known,
        reused,
        without(|request| request.choice = None, 4),
        without(|request| request.site_declarations = None, 5),
        without(|request| request.etag = "7".into(), 6),
        without(|request| request.validate_only = true, 7),
        add(&meter(8)),
        add(&meter(9)),
        add("rubbish"),
        add(""),
        without(|request| request.request_id = "1".into(), 11),
        // Whoever may not act is not told what else is wrong.
        without(|request| request.choice = None, 10),
    ];
    let answers = add_all(&mut acme, requests.clone()).await;
    let (granted, refused) = answers.split_at(3);
    assert!(granted[0].as_ref().unwrap().changed);
    assert!(!granted[1].as_ref().unwrap().changed);
    let replayed = wire::AddFlagResponse {
        replayed: true,
        ..first
    };
    assert_eq!(granted[2].as_ref().unwrap(), &replayed);
    for (request, answer) in requests.iter().zip(granted) {
        let alone = acme.add_flag(request.clone()).await.unwrap().into_inner();
        let answer = answer.clone().unwrap();
        let again = wire::AddFlagResponse {
            replayed: true,
            ..answer
        };
        assert_eq!(alone, again, "the id is that of AddFlag");
    }
    let reasons: Vec<_> = refused
        .iter()
        .map(|answer| {
            answer
                .as_ref()
                .map_or_else(ItemStatus::reason, |_| ErrorReason::Unspecified)
        })
        .collect();
    use ErrorReason as R;
    let expected = [
        R::RequestIdReused,
        R::FieldInvalid,
        R::PreconditionsNotMet,
        R::EtagMismatch,
        R::Unspecified,
        R::NotResponsibleSupplier,
        R::NotResponsibleSupplier,
        R::FieldInvalid,
        R::FieldInvalid,
        R::FieldInvalid,
        R::NotResponsibleSupplier,
    ];
    assert_eq!(reasons, expected);
    for (request, answer) in requests[3..].iter().zip(refused) {
        let alone = acme.add_flag(request.clone()).await;
        match (alone, answer) {
            (Ok(alone), answer) => assert_eq!(Ok(alone.into_inner()), *answer),
            (Err(alone), Err(status)) => assert_eq!(item_status(&alone), *status),
            (alone, answer) => panic!("{alone:?} is not {answer:?}"),
        }
    }
    for (number, causes) in [
        (0, &[Cause::FlagAdded][..]),
        (1, &[Cause::FlagAdded, Cause::PreferenceRecorded]),
        (2, &[Cause::FlagAdded]),
    ] {
        assert_eq!(world.causes(&meter(number)).await, causes, "{number}");
    }
    for number in 3..10 {
        assert!(world.history(&meter(number)).await.is_empty(), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_lifted_in_batches_too() {
    let world = World::start().await;
    let mut acme = world.acme();
    world.flagged(METER).await;
    world.meter(OTHER_METER);
    let requests = vec![remove(METER), remove(OTHER_METER), remove("rubbish")];
    let request = wire::BatchRemoveFlagsRequest {
        requests: requests.clone(),
    };
    let answer = acme.batch_remove_flags(request.clone()).await.unwrap();
    let told = |results: Vec<wire::RemoveFlagResult>| -> Vec<_> {
        let results = results.into_iter().map(|result| result.result.unwrap());
        let told = results.map(|result| match result {
            remove_flag_result::Result::Response(answer) => Ok((answer.changed, answer.replayed)),
            remove_flag_result::Result::Status(status) => Err(status.reason()),
        });
        told.collect()
    };
    let answer = answer.into_inner();
    assert_eq!(answer.position.as_ref().unwrap().sequence, 3);
    let invalid = Err(ErrorReason::FieldInvalid);
    let expected = [Ok((true, false)), Ok((false, false)), invalid];
    assert_eq!(told(answer.results), expected);
    let alone = acme.remove_flag(requests[0].clone()).await.unwrap();
    assert!(alone.into_inner().replayed);
    let again = acme.batch_remove_flags(request).await.unwrap().into_inner();
    assert_eq!(
        told(again.results)[..2],
        [Ok((true, true)), Ok((false, true))]
    );
    assert_eq!(again.position.unwrap().sequence, 3);
}

/// What a batch names twice it means once, and says which one it means by the order.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_one_device_or_one_id_the_later_is_refused() {
    let world = World::start().await;
    let mut acme = world.acme();
    for number in 0..4 {
        world.meter(&meter(number));
    }
    let first = add(&meter(0));
    let in_small = add(&meter(0).to_lowercase());
    let same_id = wire::AddFlagRequest {
        request_id: first.request_id.to_uppercase(),
        ..add(&meter(1))
    };
    // What is refused itself keeps its Device and its id from the later ones all the same.
    let refused = wire::AddFlagRequest {
        choice: None,
        ..add(&meter(2))
    };
    let after_refused = add(&meter(2));
    let foreign = [add(&meter(9)), add(&meter(9))];
    let requests = [
        vec![first, in_small, same_id, refused, after_refused],
        foreign.into(),
    ];
    let answers = add_all(&mut acme, requests.concat()).await;
    assert!(answers[0].is_ok());
    let violated = |answer: &Added| -> Vec<_> {
        let status = answer.as_ref().unwrap_err();
        assert_eq!(status.code, i32::from(Code::InvalidArgument));
        let violations = status.violations.iter();
        violations
            .map(|violation| format!("{} {}", violation.subject, violation.description))
            .collect()
    };
    assert_eq!(
        violated(&answers[1]),
        ["device_id is the Device of requests[0]"]
    );
    assert_eq!(violated(&answers[2]), ["request_id is that of requests[0]"]);
    assert_eq!(violated(&answers[3]), ["choice is missing"]);
    assert_eq!(
        violated(&answers[4]),
        ["device_id is the Device of requests[3]"]
    );
    assert_eq!(why(&answers[5]), ErrorReason::NotResponsibleSupplier);
    assert_eq!(
        violated(&answers[6]),
        ["device_id is the Device of requests[5]"]
    );
    for number in [1, 2] {
        assert!(world.history(&meter(number)).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_from_one_to_a_thousand_requests() {
    let world = World::start().await;
    let mut acme = world.acme();
    let of = |count: usize| wire::BatchAddFlagsRequest {
        requests: (0..count).map(|number| add(&meter(number))).collect(),
    };
    let invalid = |reason| (Code::InvalidArgument, reason);
    let none = acme.batch_add_flags(of(0)).await;
    assert_eq!(refused(none), invalid(ErrorReason::FieldInvalid));
    let many = acme.batch_add_flags(of(1_001)).await;
    assert_eq!(refused(many), invalid(ErrorReason::TooManyItems));
    for number in 0..1_000 {
        world.meter(&meter(number));
    }
    let answers = add_all(&mut acme, of(1_000).requests).await;
    assert_eq!(answers.len(), 1_000);
    let sequences = answers.iter().map(|answer| {
        let answer = answer.as_ref().unwrap();
        answer.position.as_ref().unwrap().sequence
    });
    let mut sequences: Vec<u64> = sequences.collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=1_000), "one event for each");
}

/// A thousand answers that are as long as they can be are an answer that any client takes.
#[tokio::test(flavor = "multi_thread")]
async fn however_much_is_wrong_the_answer_can_be_received() {
    let world = World::start().await;
    let mut acme = world.acme();
    let bad = |number: usize| {
        let mut request = add(&meter(number));
        let attested = request.reasonable_steps.as_mut().unwrap();
        attested.steps = vec![wire::ReasonableStep::default(); 20];
        attested.contact_reference = "\u{202E}".repeat(100);
        request.request_id = "x".repeat(40);
        request.choice = None;
        request
    };
    for number in 0..1_000 {
        world.meter(&meter(number));
    }
    let requests = (0..1_000).map(bad).collect();
    let answers = add_all(&mut acme, requests).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().violations.len(), 12);
    }
}

/// Wherever a batch was cut off: sent again it is done, and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_cut_off_is_sent_again_as_it_was() {
    let world = World::start().await;
    let mut acme = world.acme();
    for number in 0..600 {
        world.meter(&meter(number));
    }
    let mut requests: Vec<_> = (0..600).map(|number| add(&meter(number))).collect();
    requests[17].choice = None;
    let request = wire::BatchAddFlagsRequest {
        requests: requests.clone(),
    };
    let cut = tokio::spawn(async move { acme.batch_add_flags(request).await.map(drop) });
    let mut operator = world.internal("operator");
    wait_until("a part to be committed", async || {
        let entry = operator
            .get_flag(get(&meter(0)))
            .await
            .unwrap()
            .into_inner();
        let sequence = entry.entry.unwrap().last_sequence;
        (sequence > 0).then_some(()).ok_or("nothing")
    })
    .await;
    cut.abort();
    let _ = cut.await;

    let mut acme = world.acme();
    let second = add_all(&mut acme, requests.clone()).await;
    let third = add_all(&mut acme, requests).await;
    for (number, (second, third)) in second.into_iter().zip(third).enumerate() {
        if number == 17 {
            assert_eq!(second, third);
            assert_eq!(why(&second), ErrorReason::FieldInvalid);
            continue;
        }
        let third = third.unwrap();
        assert!(third.replayed && third.changed, "{number}");
        let second = wire::AddFlagResponse {
            replayed: true,
            ..second.unwrap()
        };
        assert_eq!(second, third, "{number}");
    }
    let probe = world.flagged(METER).await;
    assert_eq!(probe.position.unwrap().sequence, 600, "one event for each");
}

/// The permits rest on facts that the follower has already overtaken for half of the Devices.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_supplier_before_the_commit_counts_for_its_devices_alone() {
    let world = World::start().await;
    for number in 0..40 {
        world.meter(&meter(number));
    }
    world.caught_up().await;
    world.registration.remember(false);
    for number in (0..40).step_by(2) {
        world
            .registration
            .change_supplier(&meter(number), "RIVAL", NOW, "");
    }
    world.caught_up().await;
    let requests = (0..40).map(|number| add(&meter(number))).collect();
    let answers = add_all(&mut world.acme(), requests).await;
    for (number, answer) in answers.iter().enumerate() {
        if number % 2 == 0 {
            assert_eq!(why(answer), ErrorReason::NotResponsibleSupplier, "{number}");
            assert!(world.history(&meter(number)).await.is_empty());
        } else {
            assert!(answer.as_ref().unwrap().changed, "{number}");
        }
    }
}

/// Nothing new is recorded; the time has come at which some of the permits end.
#[tokio::test(flavor = "multi_thread")]
async fn permits_that_never_settle_end_their_requests_alone() {
    let world = World::start().await;
    let end = Timestamp::from_micros(NOW.micros() + 1);
    world.meter(&meter(0));
    world.registration.put(&meter(1), |authority| {
        authority.authority_end_time = Some(mesh_api::convert::timestamp_to_wire(end));
    });
    world.clock.set(end);
    let requests = vec![add(&meter(0)), add(&meter(1))];
    let answers = add_all(&mut world.acme(), requests).await;
    assert!(answers[0].is_ok());
    assert_eq!(why(&answers[1]), ErrorReason::AuthorityChanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_on_the_way_refuses_the_rest() {
    let quotas = Quotas {
        supplier_lifts: NonZeroU32::new(2).unwrap(),
        ..Quotas::default()
    };
    let world = World::start_with(quotas).await;
    let mut acme = world.acme();
    for number in 0..4 {
        world.flagged(&meter(number)).await;
    }
    let request = wire::BatchRemoveFlagsRequest {
        requests: (0..4).map(|number| remove(&meter(number))).collect(),
    };
    let answer = acme.batch_remove_flags(request).await.unwrap().into_inner();
    let lifted = answer.results.into_iter().map(|result| {
        let result = result.result.unwrap();
        matches!(result, remove_flag_result::Result::Response(_))
    });
    assert_eq!(lifted.collect::<Vec<_>>(), [true, true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_registration_is_out_of_reach_a_batch_is_refused_whole() {
    let world = World::start().await;
    world.meter(METER);
    world.meter(OTHER_METER);
    world.registration.set_reachable(false);
    let mut acme = world.acme();
    let request = wire::BatchAddFlagsRequest {
        requests: vec![add(METER), add(OTHER_METER)],
    };
    assert_eq!(
        refused(acme.batch_add_flags(request.clone()).await),
        (Code::Unavailable, ErrorReason::AuthorityUnreachable)
    );
    world.registration.set_reachable(true);
    assert!(
        add_all(&mut acme, request.requests)
            .await
            .iter()
            .all(Result::is_ok)
    );
}

/// One record says which Devices a batch was about, and which of them were refused, by whomever.
#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_batch_names_its_devices_and_those_that_were_refused() {
    let mut world = World::start().await;
    let mut acme = world.acme();
    for number in 0..4 {
        world.meter(&meter(number));
    }
    let without_choice = wire::AddFlagRequest {
        choice: None,
        ..add(&meter(1))
    };
    let undeclared = wire::AddFlagRequest {
        site_declarations: None,
        ..add(&meter(2))
    };
    let requests = vec![
        add(&meter(0)),
        without_choice,
        undeclared,
        add(&meter(9)),
        add("rubbish"),
        add(&meter(3)),
    ];
    let request = wire::BatchAddFlagsRequest { requests };
    let answer = acme.batch_add_flags(request).await.unwrap().into_inner();
    world.stop().await;
    let folder = temp_dir();
    let disk = OnDisk::copy(&world.audit_path(), folder.path()).await;
    let [call] = disk.calls("BatchAddFlags")[..] else {
        panic!("{disk:?}");
    };
    let named = |numbers: &[usize]| -> Vec<_> {
        let devices = numbers.iter().map(|&number| meter(number).parse().unwrap());
        devices.map(|device| disk.pseudonym(device)).collect()
    };
    assert_eq!(call.device_pseudonyms, named(&[0, 1, 2, 9, 3]));
    let mut refused = call.refused_device_pseudonyms.clone();
    let mut expected = named(&[1, 2, 9]);
    refused.sort();
    expected.sort();
    assert_eq!(refused, expected);
    assert_eq!((call.code, &call.position), (0, &answer.position));
}
