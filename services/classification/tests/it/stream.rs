//! Is each request of a stream answered in order, and how does a stream end?

use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::{Freshness, Verdict, decision_result};
use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::convert::position_to_wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::world::{METER, OTHER_METER, World, alert, raw, read, refused};

/// An open stream, with a place to put requests.
struct Open {
    requests: mpsc::Sender<wire::ClassifyStreamRequest>,
    answers: Streaming<wire::ClassifyStreamResponse>,
}

impl Open {
    async fn on(world: &World) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let stream = ReceiverStream::new(receiver);
        let answers = world.dsp().classify_stream(stream).await.unwrap();
        Self {
            requests,
            answers: answers.into_inner(),
        }
    }

    async fn send(&self, messages: Vec<wire::Message>) {
        let request = wire::ClassifyStreamRequest {
            messages,
            at_least: None,
        };
        self.requests.send(request).await.unwrap();
    }

    async fn answer(&mut self) -> wire::ClassifyStreamResponse {
        self.answers.message().await.unwrap().unwrap()
    }
}

fn verdicts(answer: &wire::ClassifyStreamResponse) -> Vec<Option<Verdict>> {
    let results = answer.results.iter().map(|result| &result.result);
    results
        .map(|result| match result {
            Some(decision_result::Result::Decision(decision)) => Some(decision.verdict()),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_in_order() {
    let world = World::start().await;
    let flagged = world.flags.flag(METER, DeviceType::Esme, &[]).await;
    let mut stream = Open::on(&world).await;
    let request = wire::ClassifyStreamRequest {
        messages: vec![read(METER)],
        at_least: Some(position_to_wire(&flagged)),
    };
    stream.requests.send(request).await.unwrap();
    let answer = stream.answer().await;
    assert_eq!(verdicts(&answer), [Some(Verdict::Suppress)]);
    assert!(answer.basis.unwrap().position.unwrap().sequence >= flagged.sequence);

    let rubbish = raw(wire::message::Content::Gbcs(vec![1].into()));
    stream
        .send(vec![alert(METER), rubbish, read(OTHER_METER)])
        .await;
    stream.send(vec![]).await;
    stream.send(vec![read(METER)]).await;
    let deliver = Some(Verdict::Deliver);
    assert_eq!(verdicts(&stream.answer().await), [deliver, None, deliver]);
    assert_eq!(verdicts(&stream.answer().await), []);
    assert_eq!(verdicts(&stream.answer().await), [Some(Verdict::Suppress)]);

    drop(stream.requests);
    assert_eq!(stream.answers.message().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_answers_come_as_requests_were_sent() {
    let world = World::start().await;
    let mut stream = Open::on(&world).await;
    let requests = stream.requests.clone();
    let sent = tokio::spawn(async move {
        for length in 0..200 {
            let request = wire::ClassifyStreamRequest {
                messages: vec![read(METER); length],
                at_least: None,
            };
            requests.send(request).await.unwrap();
        }
    });
    for length in 0..200 {
        assert_eq!(stream.answer().await.results.len(), length);
    }
    sent.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_ends_the_stream() {
    let world = World::start().await;
    let mut stream = Open::on(&world).await;
    stream.send(vec![read(METER)]).await;
    stream.send(vec![wire::Message::default(); 1_001]).await;
    stream.answer().await;
    let ended = stream.answers.message().await;
    let too_many = (Code::InvalidArgument, ErrorReason::TooManyItems);
    assert_eq!(refused(ended), too_many);

    // What is asked for once holds for the rest of the stream, though not for what needs no flag.
    let mut stream = Open::on(&world).await;
    let far = mesh_api::common::v1::Position {
        sequence: 1_000,
        ..position_to_wire(&world.flags.flag(METER, DeviceType::Esme, &[]).await)
    };
    let request = wire::ClassifyStreamRequest {
        messages: vec![alert(METER)],
        at_least: Some(far),
    };
    stream.requests.send(request).await.unwrap();
    let answer = stream.answer().await;
    assert_eq!(verdicts(&answer), [Some(Verdict::Deliver)]);
    stream.send(vec![read(METER)]).await;
    let ended = stream.answers.message().await;
    let not_reached = (Code::OutOfRange, ErrorReason::PositionNotReached);
    assert_eq!(refused(ended), not_reached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_service_stops() {
    let world = World::start().await;
    let mut stream = Open::on(&world).await;
    stream.send(vec![read(METER)]).await;
    let answer = stream.answer().await;
    let Some(decision_result::Result::Decision(decision)) = &answer.results[0].result else {
        panic!("{answer:?}");
    };
    assert_eq!(decision.freshness(), Freshness::Current);
    let stopped = world.stop();
    let ended = stream.answers.message().await;
    let draining = (Code::Unavailable, ErrorReason::Draining);
    assert_eq!(refused(ended), draining);
    assert!(stopped.await.unwrap().clean);
}
