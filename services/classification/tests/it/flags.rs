//! Which flags do decisions rest on, and what if they are old or not there?

use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::{DecisionReason, Freshness, Verdict, decision_result};
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::flag_registry::v1::{Cause, FlagState};
use mesh_testkit::wait_until;
use mesh_types::{Epoch, Position};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::upstream::{FlagLog, facts};
use crate::world::{
    GAS_METER, GPF, METER, OTHER_GPF, OTHER_METER, World, alert, duis, read, refused,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_flag_is_answered_before_there_are_any() {
    let flags = FlagLog::new().await;
    let position = flags.flag(METER, DeviceType::Esme, &[]).await;
    let mut world = World::not_loaded(flags).await;
    assert_eq!(world.health().await, ServingStatus::NotServing);

    let firmware = world.classify(duis("11.3", METER), None).await.unwrap();
    assert_eq!(firmware.basis, None);
    let decision = firmware.decision.unwrap();
    assert_eq!(decision.verdict(), Verdict::Deliver);
    assert_eq!(decision.freshness(), Freshness::Unspecified);

    let not_loaded = (Code::Unavailable, ErrorReason::FlagsNotLoaded);
    assert_eq!(refused(world.classify(read(METER), None).await), not_loaded);
    let at_least = Some(&position);
    assert_eq!(
        refused(world.classify(read(METER), at_least).await),
        not_loaded
    );
    let batch = wire::BatchClassifyRequest {
        messages: vec![read(METER), alert(METER)],
        at_least: None,
    };
    let answer = world.dsp().batch_classify(batch).await.unwrap();
    match answer.into_inner().results.as_slice() {
        [
            wire::DecisionResult {
                result: Some(decision_result::Result::Status(status)),
            },
            wire::DecisionResult {
                result: Some(decision_result::Result::Decision(decision)),
            },
        ] => {
            assert_eq!(status.reason(), ErrorReason::FlagsNotLoaded);
            assert_eq!(decision.verdict(), Verdict::Deliver);
        }
        other => panic!("{other:?}"),
    }

    world.open().await;
    let decision = world.decide(read(METER), None).await;
    assert_eq!(decision.verdict(), Verdict::Suppress);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_suppresses_reads_until_it_is_lifted() {
    let world = World::start().await;
    let before = world.classify(read(METER), None).await.unwrap();
    assert_eq!(before.basis.unwrap().position.unwrap().sequence, 0);
    let decision = before.decision.unwrap();
    assert_eq!(decision.verdict(), Verdict::Deliver);
    assert_eq!(decision.reason(), DecisionReason::NotFlagged);
    assert_eq!(decision.freshness(), Freshness::Current);
    assert_eq!(
        (decision.flagged_device_id.as_str(), decision.flag_sequence),
        ("", 0)
    );

    let set = world.flags.flag(METER, DeviceType::Esme, &[]).await;
    let after = world.classify(read(METER), Some(&set)).await.unwrap();
    let basis = after.basis.unwrap();
    assert_eq!(basis.position.unwrap().sequence, 1);
    assert!(basis.fresh_time.is_some());
    let decision = after.decision.unwrap();
    assert_eq!(decision.verdict(), Verdict::Suppress);
    assert_eq!(decision.reason(), DecisionReason::ReducedByChoice);
    assert_eq!(
        (decision.flagged_device_id.as_str(), decision.flag_sequence),
        (METER, 1)
    );
    assert_eq!(decision.device_ids, [METER]);
    assert_eq!(decision.rule_id, "srv/4.8.1");
    assert_eq!(decision.service_reference_variant, "4.8.1");
    let neighbour = world.decide(read(OTHER_METER), Some(&set)).await;
    assert_eq!(neighbour.verdict(), Verdict::Deliver);
    let alert = world.decide(alert(METER), Some(&set)).await;
    assert_eq!(alert.verdict(), Verdict::Deliver);

    // A preference that changes nothing moves the position, and the flag is as old as it was.
    let on = || facts(FlagState::Flagged, &[]);
    let off = facts(FlagState::NotFlagged, &[]);
    let (flags, kind) = (&world.flags, DeviceType::Esme);
    let kept = flags.record(METER, kind, Cause::PreferenceRecorded, (on(), on()), "");
    let decision = world.decide(read(METER), Some(&kept.await)).await;
    assert_eq!(
        (decision.verdict(), decision.flag_sequence),
        (Verdict::Suppress, 1)
    );

    let lifted = flags.record(METER, kind, Cause::FlagRemoved, (on(), off), "");
    let decision = world.decide(read(METER), Some(&lifted.await)).await;
    assert_eq!(decision.verdict(), Verdict::Deliver);
    assert_eq!(decision.reason(), DecisionReason::NotFlagged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gas_meters_flag_covers_its_gpf_wherever_it_comes_from() {
    let gas = |device| duis("4.6.1", device);
    // Out of a snapshot of several parts.
    let flags = FlagLog::new().await;
    for meter in [METER, OTHER_METER] {
        flags.flag(meter, DeviceType::Esme, &[]).await;
    }
    flags.flag(GAS_METER, DeviceType::Gsme, &[GPF]).await;
    let world = World::with(flags).await;
    for device in [GAS_METER, GPF] {
        let decision = world.decide(gas(device), None).await;
        assert_eq!(decision.verdict(), Verdict::Suppress, "{device}");
        assert_eq!(decision.flagged_device_id, GAS_METER);
        assert_eq!(
            (decision.flag_sequence, decision.device_ids),
            (3, vec![device.to_owned()])
        );
    }
    // What is consumption on a GPF is none on an ESME.
    let on = |covered| facts(FlagState::Flagged, covered);
    assert_eq!(
        world.decide(duis("4.10", GPF), None).await.verdict(),
        Verdict::Suppress
    );
    assert_eq!(
        world.decide(duis("4.10", METER), None).await.verdict(),
        Verdict::Deliver
    );

    // Out of an event: the GPF is replaced.
    let change = (on(&[GPF]), on(&[OTHER_GPF]));
    let cause = Cause::CoverageChanged;
    let moved = world
        .flags
        .record(GAS_METER, DeviceType::Gsme, cause, change, "");
    let moved = moved.await;
    let decision = world.decide(gas(GPF), Some(&moved)).await;
    assert_eq!(decision.verdict(), Verdict::Deliver);
    let decision = world.decide(gas(OTHER_GPF), Some(&moved)).await;
    assert_eq!(
        (decision.verdict(), decision.flag_sequence),
        (Verdict::Suppress, 3)
    );

    let change = (on(&[OTHER_GPF]), facts(FlagState::NotFlagged, &[OTHER_GPF]));
    let ended = world
        .flags
        .record(GAS_METER, DeviceType::Gsme, Cause::DeviceEnded, change, "");
    let ended = ended.await;
    for device in [GAS_METER, OTHER_GPF] {
        let decision = world.decide(gas(device), Some(&ended)).await;
        assert_eq!(decision.verdict(), Verdict::Deliver, "{device}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_waits_for_the_position_that_it_must_show() {
    let world = World::start().await;
    let reached = world.flags.flag(OTHER_METER, DeviceType::Esme, &[]).await;
    let next = Position {
        sequence: reached.sequence + 1,
        ..reached.clone()
    };
    let waiting = {
        let (mut dsp, next) = (world.dsp(), next.clone());
        let request = wire::ClassifyRequest {
            message: Some(read(METER)),
            at_least: Some(mesh_api::convert::position_to_wire(&next)),
        };
        tokio::spawn(async move { dsp.classify(request).await })
    };
    world.flags.flag(METER, DeviceType::Esme, &[]).await;
    let decision = waiting
        .await
        .unwrap()
        .unwrap()
        .into_inner()
        .decision
        .unwrap();
    assert_eq!(decision.verdict(), Verdict::Suppress);

    let far = Position {
        sequence: 1_000,
        ..next.clone()
    };
    let elsewhere = Position {
        epoch: Epoch::new(next.epoch.get() ^ 1).unwrap(),
        ..next.clone()
    };
    let other_log = Position {
        log: "devices".parse().unwrap(),
        ..next
    };
    let not_reached = (Code::OutOfRange, ErrorReason::PositionNotReached);
    let of_another = (
        Code::FailedPrecondition,
        ErrorReason::PositionOfAnotherEpoch,
    );
    for (position, expected) in [
        (&far, not_reached),
        (&elsewhere, of_another),
        (&other_log, of_another),
    ] {
        let answer = world.classify(read(METER), Some(position)).await;
        assert_eq!(refused(answer), expected);
        // What does not depend on a flag waits for none.
        let decision = world.decide(alert(METER), Some(position)).await;
        assert_eq!(decision.verdict(), Verdict::Deliver);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_registry_answers_go_on_and_say_so() {
    let flags = FlagLog::new().await;
    let position = flags.flag(METER, DeviceType::Esme, &[]).await;
    let mut world = World::with(flags.clone()).await;
    world.cut().await;
    let stale = until(&world, Freshness::Stale).await;
    assert_eq!(stale.decision.unwrap().verdict(), Verdict::Suppress);
    let at_least = world.decide(read(METER), Some(&position)).await;
    assert_eq!(at_least.freshness(), Freshness::Stale);
    assert_eq!(
        world.decide(alert(METER), None).await.freshness(),
        Freshness::Unspecified
    );
    assert_eq!(world.health().await, ServingStatus::Serving);

    // What happened meanwhile arrives, and then all is well again.
    let since = stale.basis.unwrap().fresh_time.unwrap();
    let missed = flags.flag(OTHER_METER, DeviceType::Esme, &[]).await;
    world.reopen(flags).await;
    let current = until(&world, Freshness::Current).await;
    let fresh = current.basis.unwrap().fresh_time.unwrap();
    assert!((fresh.seconds, fresh.nanos) > (since.seconds, since.nanos));
    let decision = world.decide(read(OTHER_METER), Some(&missed)).await;
    assert_eq!(decision.verdict(), Verdict::Suppress);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_replaces_all_flags_at_once() {
    let flags = FlagLog::new().await;
    for device in [METER, GAS_METER] {
        flags.flag(device, DeviceType::Esme, &[]).await;
    }
    let mut world = World::with(flags.clone()).await;
    world.cut().await;
    let restored = FlagLog::new().await;
    restored.accept(&flags).await;
    let position = restored.flag(OTHER_METER, DeviceType::Esme, &[]).await;
    world.reopen(restored).await;
    let answer = wait_until("the other history is loaded", async || {
        let batch = wire::BatchClassifyRequest {
            messages: [METER, GAS_METER, OTHER_METER].map(read).into(),
            at_least: None,
        };
        let answer = world
            .dsp()
            .batch_classify(batch)
            .await
            .unwrap()
            .into_inner();
        let epoch = answer
            .basis
            .as_ref()
            .unwrap()
            .position
            .as_ref()
            .unwrap()
            .epoch;
        let verdicts = verdicts(&answer.results);
        if epoch == position.epoch.get() {
            return Ok(verdicts);
        }
        // Until then the flags are those that were known, each of them.
        assert_eq!(
            verdicts,
            [Verdict::Suppress, Verdict::Suppress, Verdict::Deliver]
        );
        Err(epoch)
    })
    .await;
    assert_eq!(
        answer,
        [Verdict::Deliver, Verdict::Deliver, Verdict::Suppress]
    );
}

/// A registry that lost its database and does not know what it had is no reason to read a consumer
/// who refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_went_back_takes_no_refusal_back() {
    let flags = FlagLog::new().await;
    let position = flags.flag(METER, DeviceType::Esme, &[]).await;
    let mut world = World::with(flags.clone()).await;
    world.cut().await;
    let empty = FlagLog::new().await;
    world.reopen(empty.clone()).await;
    wait_until("the registry to be told", async || {
        if empty.went_back() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let answer = world.classify(read(METER), None).await.unwrap();
    let decision = answer.decision.unwrap();
    assert_eq!(
        (decision.verdict(), decision.freshness()),
        (Verdict::Suppress, Freshness::Stale)
    );
    assert_eq!(
        answer.basis.unwrap().position.unwrap().epoch,
        position.epoch.get()
    );
    assert_eq!(world.health().await, ServingStatus::Serving);

    // An operator accepts the loss: from then on the registry's word counts.
    world.cut().await;
    let accepted = FlagLog::new().await;
    accepted.accept(&flags).await;
    let after = accepted.flag(OTHER_METER, DeviceType::Esme, &[]).await;
    world.reopen(accepted).await;
    wait_until("the accepted history", async || {
        let answer = world.classify(read(METER), None).await.unwrap();
        match answer.basis.unwrap().position.unwrap().epoch {
            epoch if epoch == after.epoch.get() => Ok(()),
            epoch => Err(epoch),
        }
    })
    .await;
    let other = world.decide(read(OTHER_METER), Some(&after)).await;
    assert_eq!(other.verdict(), Verdict::Suppress);
}

fn verdicts(results: &[wire::DecisionResult]) -> Vec<Verdict> {
    let verdicts = results.iter().map(|result| match &result.result {
        Some(decision_result::Result::Decision(decision)) => decision.verdict(),
        other => panic!("{other:?}"),
    });
    verdicts.collect()
}

async fn until(world: &World, freshness: Freshness) -> wire::ClassifyResponse {
    wait_until("the freshness", async || {
        let answer = world.classify(read(METER), None).await.unwrap();
        let found = answer.decision.as_ref().unwrap().freshness();
        if found == freshness {
            Ok(answer)
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
}
