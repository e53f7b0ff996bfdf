//! What happens at each limit.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::Either;
use futures::stream;
use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::{Bound, CallerLimits, GlobalLimits, HandshakeOutcome};
use mesh_testkit::{LIMIT, certificates, wait_until};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::{Ask, BOTH_WAYS, STREAM, TestServer, UNARY};

const MIB: usize = 1024 * 1024;
/// What the contract of [`BOTH_WAYS`] says, beyond the usual 4 MiB.
const LARGER: usize = 20 * MIB;

fn with_limits(limits: GlobalLimits) -> impl Future<Output = TestServer> {
    TestServer::start_with(move |options| options.limits = limits)
}

#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: ErrorReason) {
    assert_eq!(
        (status.code(), reason_of(status)),
        (code, Some(reason)),
        "{status}"
    );
}

#[track_caller]
fn assert_shed(status: &Status, reason: ErrorReason) {
    assert_refused(status, Code::ResourceExhausted, reason);
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let ask = |octets| Ask::new(UNARY, "echo").message(vec![7; octets]);
    let answer = ask(4 * MIB).unary(channel.clone()).await.unwrap();
    assert_eq!(answer.len(), 4 * MIB);
    for octets in [4 * MIB + 1, 5 * MIB, 40 * MIB] {
        let status = ask(octets).unary(channel.clone()).await.unwrap_err();
        assert_refused(
            &status,
            Code::ResourceExhausted,
            ErrorReason::MessageTooLarge,
        );
    }
    ask(1).unary(channel).await.unwrap();
}

#[tokio::test]
async fn a_large_message_in_a_stream_ends_it() {
    let server = TestServer::start().await;
    let taken = [vec![1; 10], vec![2; 4 * MIB + 1]];
    let sent = [&taken[..], &[vec![3; LARGER + 1], vec![4; 10]]].concat();
    let messages = stream::iter(sent);
    let ask = Ask::new(BOTH_WAYS, "echo");
    let status = match ask.both_ways(server.channel("dsp"), messages).await {
        Ok(mut answers) => {
            let mut taken = taken.iter();
            loop {
                match answers.message().await {
                    Ok(answer) => assert!(taken.next() == answer.as_ref(), "another answer"),
                    Err(status) => break status,
                }
            }
        }
        Err(status) => status,
    };
    assert_refused(
        &status,
        Code::ResourceExhausted,
        ErrorReason::MessageTooLarge,
    );
}

#[tokio::test]
async fn the_inside_cannot_hide_that_a_message_was_too_large() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let large = vec![7; 4 * MIB + 1];
    let ask = Ask::new(UNARY, "whatever comes").message(large);
    let status = ask.unary(channel.clone()).await.unwrap_err();
    assert_refused(
        &status,
        Code::ResourceExhausted,
        ErrorReason::MessageTooLarge,
    );
    let ask = Ask::new(BOTH_WAYS, "whatever comes in stream");
    let messages = stream::iter([vec![7; LARGER + 1]]);
    let mut answers = ask.both_ways(channel, messages).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap(), b"first");
    let status = answers.message().await.unwrap_err();
    assert_refused(
        &status,
        Code::ResourceExhausted,
        ErrorReason::MessageTooLarge,
    );
}

#[tokio::test]
async fn an_expired_deadline_is_called_so_and_the_handler_is_dropped() {
    let limits = GlobalLimits {
        default_deadline: Duration::from_millis(50),
        ..GlobalLimits::default()
    };
    let server = with_limits(limits).await;
    let channel = server.foreign(Some(&certificates().internal("dsp")));
    for path in [UNARY, STREAM] {
        let status = Ask::new(path, "wait")
            .unary(channel.clone())
            .await
            .unwrap_err();
        assert_refused(
            &status,
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
        );
    }
    assert_eq!(
        (server.handlers.called(), server.handlers.waiting()),
        (2, 0)
    );
}

#[tokio::test]
async fn the_callers_deadline_counts_on_the_server_for_calls_and_whole_streams() {
    let server = TestServer::start().await;
    let ask = |path, behaviour| Ask::new(path, behaviour).header("grpc-timeout", "100m");
    let channel = server.channel("dsp");
    let status = ask(UNARY, "wait").unary(channel.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    wait_until("the handler to be dropped", async || {
        match server.handlers.waiting() {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    // A channel of someone else's make leaves the deadline of a stream to the server.
    let foreign = server.foreign(Some(&certificates().internal("dsp")));
    for channel in [Either::Left(channel), Either::Right(foreign)] {
        let mut stream = match channel {
            Either::Left(channel) => ask(STREAM, "for ever").stream(channel).await,
            Either::Right(channel) => ask(STREAM, "for ever").stream(channel).await,
        }
        .unwrap();
        stream.message().await.unwrap();
        let status = timeout(LIMIT, stream.message()).await.unwrap().unwrap_err();
        assert_refused(
            &status,
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
        );
    }
}

#[tokio::test]
async fn a_handler_knows_how_much_time_is_left() {
    let server = TestServer::start().await;
    let ask = Ask::new(UNARY, "report").header("grpc-timeout", "3S");
    let answer = ask.unary(server.channel("dsp")).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let remaining = answer.lines().find(|line| line.starts_with("remaining"));
    assert!(
        remaining.unwrap().starts_with("remaining=Some(2."),
        "{answer}"
    );
}

#[tokio::test]
async fn calls_above_the_bound_are_shed_and_health_is_still_answered() {
    let mut limits = GlobalLimits::default();
    limits.shares.dcc.calls.class = 2;
    limits.shares.dcc.streams.class = 1;
    let server = with_limits(limits).await;
    let channel = server.channel("dsp");
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await })
        })
        .collect();
    wait_until("both places to be taken", async || {
        match server.handlers.waiting() {
            2 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    // Another connection, too: the bound is the server's.
    for channel in [channel.clone(), server.channel("dsp")] {
        let status = Ask::new(UNARY, "echo").unary(channel).await.unwrap_err();
        assert_shed(&status, ErrorReason::Overloaded);
    }
    let mut health = HealthClient::new(channel.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    let stream = Ask::new(STREAM, "for ever").stream(channel.clone()).await;
    let stream = stream.expect("streams have a bound of their own");
    let second = Ask::new(STREAM, "for ever").stream(channel.clone()).await;
    assert_shed(&second.unwrap_err(), ErrorReason::Overloaded);
    drop(stream);
    server.handlers.open_gate(2);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    Ask::new(UNARY, "echo")
        .unary(channel.clone())
        .await
        .unwrap();
    wait_until("the stream's place to be free", async || {
        Ask::new(STREAM, "for ever").stream(channel.clone()).await
    })
    .await;
}

#[tokio::test]
async fn one_caller_at_its_rate_does_not_stop_another() {
    let server = TestServer::start_with(|options| {
        options.caller_limits = CallerLimits {
            calls_per_second: NonZeroU32::new(1).unwrap(),
            burst: NonZeroU32::new(3).unwrap(),
        };
        options.limits.shares.operators.streams = Bound {
            class: 2,
            caller: 1,
        };
    })
    .await;
    let ask = Ask::new(UNARY, "echo");
    let (dsp, operator) = (server.channel("dsp"), server.channel("operator"));
    let start = Instant::now();
    let mut shed = None;
    for _ in 0..10 {
        shed = shed.or(ask.unary(dsp.clone()).await.err());
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "too slow to mean anything"
    );
    assert_shed(
        &shed.expect("ten calls are more than three"),
        ErrorReason::CallerLimit,
    );
    ask.unary(operator.clone()).await.unwrap();
    let open = Ask::new(STREAM, "for ever").stream(operator.clone()).await;
    let open = open.unwrap();
    let second = Ask::new(STREAM, "for ever").stream(operator).await;
    assert_shed(&second.unwrap_err(), ErrorReason::CallerLimit);
    drop(open);
}

#[tokio::test]
async fn one_caller_cannot_take_every_place() {
    let server = TestServer::start_with(|options| {
        options.limits.shares.dcc.calls.caller = 2;
    })
    .await;
    let (dsp, operator) = (server.channel("dsp"), server.channel("operator"));
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let channel = dsp.clone();
            tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await })
        })
        .collect();
    wait_until("both places to be taken", async || {
        match server.handlers.waiting() {
            2 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    let ask = Ask::new(UNARY, "echo");
    // Another connection of the same caller, too.
    for channel in [dsp.clone(), server.channel("dsp")] {
        let third = ask.unary(channel).await.unwrap_err();
        assert_shed(&third, ErrorReason::CallerLimit);
    }
    ask.unary(operator).await.unwrap();
    let mut health = HealthClient::new(dsp.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    server.handlers.open_gate(2);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    ask.unary(dsp).await.unwrap();
}

/// Whoever probes without a certificate shares a budget with everyone who has none.
#[tokio::test]
async fn health_is_answered_whoever_else_has_no_certificate() {
    let server = TestServer::start_with(|options| {
        options.caller_limits = CallerLimits {
            calls_per_second: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
        };
    })
    .await;
    let mut health = HealthClient::new(server.foreign(None));
    for _ in 0..5 {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
}

/// Those who connect and say nothing, and those who show no certificate, keep nobody out.
#[tokio::test]
async fn a_crowd_of_strangers_makes_room() {
    let server = with_limits(GlobalLimits {
        newcomers: 4,
        guests: 4,
        ..GlobalLimits::default()
    })
    .await;
    let known = server.channel("operator");
    let ask = Ask::new(UNARY, "echo");
    ask.unary(known.clone()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    ask.unary(server.channel("dsp")).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..8 {
        let mut health = HealthClient::new(server.foreign(None));
        health.check(HealthCheckRequest::default()).await.unwrap();
        strangers.push(health);
    }
    ask.unary(server.channel("dsp")).await.unwrap();
    let pushed_out = server.tls.handshakes().get(HandshakeOutcome::MadeRoom);
    assert!(pushed_out >= 4, "{pushed_out} handshakes");
    let before = server.tls.handshakes().get(HandshakeOutcome::Accepted);
    ask.unary(known).await.unwrap();
    let after = server.tls.handshakes().get(HandshakeOutcome::Accepted);
    assert_eq!(before, after, "who is known keeps its connection");
}

#[tokio::test]
async fn one_caller_has_only_so_many_connections() {
    let server = TestServer::start_with(|options| {
        options.limits.shares.dcc.connections.caller = 2;
    })
    .await;
    let ask = Ask::new(UNARY, "echo");
    let (first, second) = (server.channel("dsp"), server.channel("dsp"));
    ask.unary(first.clone()).await.unwrap();
    ask.unary(second.clone()).await.unwrap();
    ask.unary(server.channel("dsp")).await.unwrap_err();
    ask.unary(server.channel("operator")).await.unwrap();
    ask.unary(second).await.unwrap();
    drop(first);
    wait_until("the place to be free", async || {
        ask.unary(server.channel("dsp")).await
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_internal_and_the_server_goes_on() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let status = Ask::new(UNARY, "panic").unary(channel.clone()).await;
    let status = status.unwrap_err();
    assert_refused(&status, Code::Internal, ErrorReason::Internal);
    assert!(!status.message().contains("asked to"), "{status}");
    let ask = Ask::new(STREAM, "panic in stream");
    let mut stream = ask.stream(channel.clone()).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), b"first");
    let status = stream.message().await.unwrap_err();
    assert_refused(&status, Code::Internal, ErrorReason::Internal);
    Ask::new(UNARY, "echo").unary(channel).await.unwrap();
}
