//! What is wrong with a stream of outcomes, and what is kept of it.

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_testkit::wait_until;
use tonic::Code;

use crate::world::{World, hour, november, outcome, outcomes, record, refused};

async fn recorded(world: &World) -> u64 {
    let mut analyst = world.service.internal("analyst");
    let answer = analyst
        .get_service_request_report(november())
        .await
        .unwrap();
    answer.into_inner().basis.unwrap().outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_outcomes_are_refused_by_themselves() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let mut nameless = outcome("", 1, 1);
    nameless.device_id = "not a Device".into();
    let mut endless = outcome(&"x".repeat(100_000), 1, 1);
    endless.result = 99;
    let mut reused = outcome("good", 1, 1);
    reused.party_id = "BRIGHT".into();
    let good = outcome("good", 1, 1);
    let request = outcomes(vec![nameless, good.clone(), endless, reused, good]);
    let answer = record(&mut dsp, vec![request]).await.unwrap();
    assert_eq!(
        (answer.recorded, answer.duplicates, answer.refused),
        (1, 1, 3)
    );
    let said: Vec<_> = answer
        .refusals
        .iter()
        .map(|refusal| {
            let status = refusal.status.as_ref().unwrap();
            let fields = status
                .violations
                .iter()
                .map(|violation| violation.subject.as_str());
            (
                refusal.outcome_id.len(),
                status.code,
                status.reason(),
                fields.collect(),
            )
        })
        .collect::<Vec<(usize, i32, ErrorReason, Vec<&str>)>>();
    let invalid = i32::from(Code::InvalidArgument);
    let exists = i32::from(Code::AlreadyExists);
    let field = ErrorReason::FieldInvalid;
    assert_eq!(
        said,
        [
            (0, invalid, field, vec!["outcome_id", "device_id"]),
            (64, invalid, field, vec!["outcome_id", "result"]),
            (4, exists, ErrorReason::RequestIdReused, vec![]),
        ]
    );
    assert_eq!(recorded(&world).await, 1);
    world.service.stop().await;
}

/// A variant in another spelling would be a row of its own, and so would a party that does not exist; what
/// lies ahead would change a month that has not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_have_happened_is_refused() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let wrong = |change: fn(&mut wire::Outcome)| {
        let mut outcome = outcome("wrong", 1, 1);
        change(&mut outcome);
        outcome
    };
    let request = outcomes(vec![
        wrong(|outcome| outcome.service_reference_variant = "4.08.1".into()),
        wrong(|outcome| outcome.party_id = "NOBODY".into()),
        wrong(|outcome| outcome.request_time = Some(hour(32 * 24 + 1))),
        wrong(|outcome| outcome.request_time = Some(prost_types::Timestamp::default())),
    ]);
    let answer = record(&mut dsp, vec![request]).await.unwrap();
    assert_eq!((answer.recorded, answer.refused), (0, 4));
    let said = answer.refusals.iter().map(|refusal| {
        let [violation] = refusal.status.as_ref().unwrap().violations.as_slice() else {
            panic!("{refusal:?}");
        };
        violation.subject.as_str()
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            "service_reference_variant",
            "party_id",
            "request_time",
            "request_time"
        ]
    );
    assert_eq!(recorded(&world).await, 0);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_refusals_are_explained_and_all_are_counted() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let bad = || outcomes(vec![outcome("", 1, 1); 800]);
    let answer = record(&mut dsp, vec![bad(), bad()]).await.unwrap();
    assert_eq!((answer.refused, answer.refusals.len()), (1_600, 1_000));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_ends_the_stream_and_keeps_what_came_before() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let many: Vec<_> = (0..1_001)
        .map(|number| outcome(&format!("m{number}"), 1, 1))
        .collect();
    let most = outcomes(many[..1_000].to_vec());
    let answer = record(&mut dsp, vec![most, outcomes(many)]).await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, ErrorReason::TooManyItems)
    );
    assert_eq!(recorded(&world).await, 1_000);

    let elsewhere = wire::RecordOutcomesRequest {
        producer: "dsp-2".into(),
        ..outcomes(vec![outcome("b", 1, 1)])
    };
    let answer = record(
        &mut dsp,
        vec![outcomes(vec![outcome("a", 1, 1)]), elsewhere],
    )
    .await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    let nameless = wire::RecordOutcomesRequest {
        producer: "The DSP".into(),
        ..outcomes(vec![outcome("b", 1, 1)])
    };
    let answer = record(&mut dsp, vec![nameless]).await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    assert_eq!(recorded(&world).await, 1_001);
    assert_eq!(record(&mut dsp, vec![]).await.unwrap(), Default::default());
    world.service.stop().await;
}

/// Each request is on disk before the next is asked for, while the stream is open; when the service
/// stops, the stream ends and can be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_kept_as_it_comes_and_ends_when_the_service_does() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let upload = tokio::spawn(async move { dsp.record_outcomes(requests).await });
    for number in 0..3 {
        let one = outcomes(vec![outcome(&number.to_string(), 1, 1)]);
        send.send(one).await.unwrap();
        wait_until("the outcome to be on disk", async || {
            match recorded(&world).await {
                kept if kept == number + 1 => Ok(()),
                kept => Err(kept),
            }
        })
        .await;
    }
    let world = world.restart().await;
    let answer = upload.await.unwrap();
    assert_eq!(refused(answer), (Code::Unavailable, ErrorReason::Draining));
    assert_eq!(recorded(&world).await, 3);
    let mut dsp = world.service.internal("dsp");
    let again = (0..5).map(|number| outcomes(vec![outcome(&number.to_string(), 1, 1)]));
    let answer = record(&mut dsp, again.collect()).await.unwrap();
    assert_eq!((answer.recorded, answer.duplicates), (2, 3));
    world.service.stop().await;
}
