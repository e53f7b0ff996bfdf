//! What goes on record of a call, whatever becomes of it.

use std::num::NonZeroU32;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::audit::{Answer, Part};
use mesh_testkit::wait_until;
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::harness::{Ask, BOTH_WAYS, Kept, STREAM, State, TestServer, UNARY};

/// The name of the RPC at a path.
fn named(path: &'static str) -> &'static str {
    path.strip_prefix('/').unwrap()
}

fn whole(answer: Answer) -> Kept {
    Kept::Entry(named(UNARY), Part::Whole, answer)
}

fn refused(code: Code, reason: ErrorReason) -> Answer {
    let reason = Some(reason);
    Answer { code, reason }
}

/// Waits until so much was put on record.
async fn kept(server: &TestServer, count: usize) -> Vec<Kept> {
    wait_until("the record", async || {
        let kept = server.journal.kept();
        if kept.len() >= count {
            Ok(kept)
        } else {
            Err(format!("{kept:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn a_call_is_on_record_when_its_caller_has_the_answer() {
    let server = TestServer::start().await;
    let ask = Ask::new(UNARY, "echo");
    ask.unary(server.channel("dsp")).await.unwrap();
    assert_eq!(server.journal.kept(), [whole(Answer::OK)]);
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_on_record() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await });
    wait_until("the handler waits", async || {
        match server.handlers.waiting() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    call.abort();
    let cancelled = Answer {
        code: Code::Cancelled,
        reason: None,
    };
    assert_eq!(kept(&server, 1).await, [whole(cancelled)]);
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_counted_and_has_no_record() {
    let server = TestServer::start().await;
    for _ in 0..100 {
        let nobody = Ask::new(UNARY, "echo").unary(server.foreign(None)).await;
        assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    }
    let answer = refused(Code::Unauthenticated, ErrorReason::CertificateMissing);
    let counted = Kept::Count(named(UNARY), answer, 1, 0);
    assert_eq!(server.journal.kept(), vec![counted; 100]);
}

#[tokio::test]
async fn calls_beyond_a_callers_rate_are_counted_and_have_no_record() {
    let server = TestServer::start_with(|options| {
        options.caller_limits.calls_per_second = NonZeroU32::MIN;
        options.caller_limits.burst = NonZeroU32::MIN;
    })
    .await;
    let channel = server.channel("dsp");
    for _ in 0..10 {
        let _ = Ask::new(UNARY, "echo").unary(channel.clone()).await;
    }
    let answer = refused(Code::ResourceExhausted, ErrorReason::CallerLimit);
    let counted = Kept::Count(named(UNARY), answer, 1, 0);
    let kept = server.journal.kept();
    assert_eq!(kept.len(), 10);
    assert!(kept.contains(&counted), "{kept:?}");
    assert!(
        kept.iter()
            .all(|kept| [counted, whole(Answer::OK)].contains(kept))
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_put_on_record_does_nothing() {
    let server = TestServer::start().await;
    server.journal.set(State::Broken);
    let ask = Ask::new(UNARY, "echo");
    let status = ask.unary(server.channel("dsp")).await.unwrap_err();
    let answer = refused(Code::Unavailable, ErrorReason::AuditUnavailable);
    assert_eq!(
        (status.code(), reason_of(&status)),
        (answer.code, answer.reason)
    );
    assert_eq!(
        (server.authorize.judged(), server.handlers.called()),
        (0, 0)
    );
    assert_eq!(
        server.journal.kept(),
        [Kept::Count(named(UNARY), answer, 1, 0)]
    );
    server.journal.set(State::Writes);
    ask.unary(server.channel("dsp")).await.unwrap();
}

#[tokio::test]
async fn calls_that_are_counted_go_on_when_nothing_can_be_put_on_record() {
    let server = TestServer::start().await;
    server.journal.set(State::Broken);
    let messages = vec![b"one".to_vec(), b"two".to_vec()];
    let messages = tokio_stream::iter(messages);
    let ask = Ask::new(BOTH_WAYS, "echo");
    let answers = ask
        .both_ways(server.channel("dsp"), messages)
        .await
        .unwrap();
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), 2);
    wait_until("the end of the stream is counted", async || {
        let kept = server.journal.kept();
        let sums = kept
            .iter()
            .fold((0, 0), |(calls, messages), kept| match kept {
                Kept::Count(_, answer, more, sent) if *answer == Answer::OK => {
                    (calls + more, messages + sent)
                }
                other => panic!("{other:?}"),
            });
        if sums == (1, 2) {
            Ok(())
        } else {
            Err(format!("{sums:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_waits_until_its_start_is_on_disk_and_its_end_is_on_record() {
    let server = TestServer::start().await;
    server.journal.set(State::Stuck);
    let channel = server.channel("dsp");
    let stream = tokio::spawn(async move {
        let mut stream = Ask::new(STREAM, "until draining").stream(channel).await?;
        stream.message().await
    });
    let started = Kept::Entry(named(STREAM), Part::StreamStarted, Answer::OK);
    assert_eq!(kept(&server, 1).await, [started]);
    assert!(!stream.is_finished(), "nothing is sent before");
    server.journal.set(State::Writes);
    assert_eq!(stream.await.unwrap().unwrap().unwrap(), b"first");
    // The reader has gone with its first message.
    let kept = kept(&server, 2).await;
    let Kept::Entry(_, Part::StreamEnded { messages, octets }, answer) = kept[1] else {
        panic!("{kept:?}");
    };
    assert_eq!((messages, octets), (1, 10));
    assert_eq!(answer.code, Code::Cancelled);
}

#[tokio::test]
async fn a_stream_whose_start_cannot_be_put_on_record_sends_nothing() {
    let server = TestServer::start().await;
    server.journal.set(State::Stuck);
    let channel = server.channel("dsp");
    let stream = tokio::spawn(async move {
        let ask = Ask::new(STREAM, "until draining");
        ask.stream(channel).await.map(|_| ())
    });
    kept(&server, 1).await;
    server.journal.set(State::Broken);
    let status = stream.await.unwrap().unwrap_err();
    assert_eq!(reason_of(&status), Some(ErrorReason::AuditUnavailable));
}
