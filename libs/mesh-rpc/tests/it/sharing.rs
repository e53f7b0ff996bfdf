//! What one caller or class takes, no other misses.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1::BatchGetFlagsRequest;
use mesh_api::status::reason_of;
use mesh_rpc::Bound;
use mesh_testkit::{certificates, wait_until};
use mesh_types::{EntityId, Eui64};
use prost::Message as _;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use crate::harness::{Ask, STREAM, TestServer, UNARY};

/// A unary RPC whose requests can ask for much.
const BATCH: &str = "/mp169.flag_registry.v1.FlagService/BatchGetFlags";

/// A connection of an organisation.
fn party(server: &TestServer, number: u64) -> Channel {
    let entity = EntityId::new(Eui64::from_u64(number));
    server.foreign(Some(&certificates().organisation(entity)))
}

async fn is_healthy(channel: Channel) {
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

/// A thousand ids.
fn batch(behaviour: &'static str) -> Ask {
    let batch = BatchGetFlagsRequest {
        device_ids: vec!["00-DB-12-34-56-78-90-A0".to_owned(); 1_000],
        ..BatchGetFlagsRequest::default()
    };
    Ask::new(BATCH, behaviour).message(batch.encode_to_vec())
}

async fn handlers_wait(server: &TestServer, count: usize) {
    wait_until(
        &format!("{count} handlers to wait"),
        async || match server.handlers.waiting() {
            waiting if waiting == count => Ok(()),
            waiting => Err(waiting),
        },
    )
    .await;
}

fn is_shed(status: &Status, reason: ErrorReason) -> bool {
    (status.code(), reason_of(status)) == (Code::ResourceExhausted, Some(reason))
}

/// As many streams as guests and three parties get, with the limits of a service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_and_parties_take_no_stream_of_the_dsp_and_no_health_check() {
    let server = TestServer::start().await;
    let guests: Vec<_> = (0..16).map(|_| server.foreign(None)).collect();
    let watches = (0..256).map(|number| {
        let mut health = HealthClient::new(guests[number % guests.len()].clone());
        async move { health.watch(HealthCheckRequest::default()).await }
    });
    let watches = join_all(watches).await;
    let mut open = Vec::new();
    for number in 1..=3 {
        let channel = party(&server, number);
        let ask = Ask::new(STREAM, "for ever");
        let asks = (0..256).map(|_| ask.stream(channel.clone()));
        open.push((join_all(asks).await, channel));
    }
    assert!(watches.iter().any(Result::is_ok));
    for (streams, _) in &open {
        assert!(streams.iter().any(Result::is_ok));
    }
    let dsp = server.foreign(Some(&certificates().internal("dsp")));
    let mut own = Ask::new(STREAM, "for ever").stream(dsp).await.unwrap();
    own.message().await.unwrap();
    let fourth = Ask::new(STREAM, "for ever").stream(party(&server, 4)).await;
    fourth.unwrap();
    is_healthy(server.foreign(None)).await;
    is_healthy(party(&server, 1)).await;
}

#[tokio::test]
async fn each_connection_of_a_guest_has_places_of_its_own() {
    let server = TestServer::start_with(|options| {
        options.limits.shares.guests.streams = Bound {
            class: 2,
            caller: 1,
        };
    })
    .await;
    let watch = async |channel: Channel| {
        let mut health = HealthClient::new(channel);
        health.watch(HealthCheckRequest::default()).await
    };
    let (first, second) = (server.foreign(None), server.foreign(None));
    let open = [watch(first.clone()).await, watch(second).await];
    assert!(open.iter().all(Result::is_ok));
    let status = watch(first).await.unwrap_err();
    assert!(is_shed(&status, ErrorReason::CallerLimit), "{status}");
    let status = watch(server.foreign(None)).await.unwrap_err();
    assert!(is_shed(&status, ErrorReason::Overloaded), "{status}");
    for role in ["dsp", "operator", "classification"] {
        let channel = server.channel(role);
        let stream = Ask::new(STREAM, "for ever").stream(channel).await;
        stream.unwrap();
    }
}

/// Sends the head of a call and half of its message, and no more.
fn half(channel: &Channel) -> JoinHandle<()> {
    let mut channel = channel.clone();
    let octets = Bytes::from_static(&[0, 0, 0, 0, 10, 1, 2]);
    let first = stream::iter([Ok::<_, Status>(Frame::data(octets))]);
    let body = Body::new(StreamBody::new(first.chain(stream::pending())));
    let request = http::Request::post(UNARY)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    tokio::spawn(async move {
        let answer = channel.ready().await.unwrap().call(request).await;
        // Whatever came of it, the place stays taken for as long as the caller can keep it.
        let _ = answer;
    })
}

/// As many as a caller may have open, with the limits of a service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_of_two_callers_keep_no_third_out() {
    let server = TestServer::start_with(|options| {
        // However long this machine takes to open them, none of them is over before the others are open.
        options.limits.default_deadline = Duration::from_secs(600);
        options.limits.longest_deadline = Duration::from_secs(600);
    })
    .await;
    let mut halves = Vec::new();
    for number in 1..=2 {
        let channel = party(&server, number);
        halves.extend((0..900).map(|_| half(&channel)));
        wait_until("the caller to be at its limit", async || {
            match Ask::new(UNARY, "echo").unary(channel.clone()).await {
                Err(status) if is_shed(&status, ErrorReason::CallerLimit) => Ok(()),
                other => {
                    // The question had a place itself, for want of which a half may have been refused.
                    halves.push(half(&channel));
                    Err(format!("{other:?}"))
                }
            }
        })
        .await;
    }
    for number in 3..=5 {
        let channel = party(&server, number);
        Ask::new(UNARY, "echo").unary(channel).await.unwrap();
    }
    is_healthy(party(&server, 1)).await;
    for half in &halves {
        half.abort();
    }
}

#[tokio::test]
async fn the_octets_of_requests_under_way_are_bounded_for_a_caller_and_its_class() {
    let server = TestServer::start_with(|options| {
        options.limits.shares.parties.octets = Bound {
            class: 150,
            caller: 100,
        };
    })
    .await;
    let (one, other) = (party(&server, 1), party(&server, 2));
    let ask = |octets| Ask::new(UNARY, "wait").message(vec![7; octets]);
    let status = ask(200).unary(one.clone()).await.unwrap_err();
    assert!(is_shed(&status, ErrorReason::CallerLimit), "{status}");
    let held = tokio::spawn({
        let one = one.clone();
        async move { ask(80).unary(one).await }
    });
    handlers_wait(&server, 1).await;
    let status = ask(40).unary(one.clone()).await.unwrap_err();
    assert!(is_shed(&status, ErrorReason::CallerLimit), "{status}");
    let status = ask(80).unary(other.clone()).await.unwrap_err();
    assert!(is_shed(&status, ErrorReason::Overloaded), "{status}");
    let internal = server.channel("dsp");
    let inside = tokio::spawn(async move { ask(80).unary(internal).await });
    handlers_wait(&server, 2).await;
    server.handlers.open_gate(2);
    held.await.unwrap().unwrap();
    inside.await.unwrap().unwrap();
    server.handlers.open_gate(1);
    ask(80).unary(other).await.unwrap();
}

/// With the limits of a service: batches of one supplier wait for each other, and another supplier's
/// call is the next to be served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_callers_call_is_served_before_all_that_a_hog_has_waiting() {
    const BATCHES: usize = 100;
    let server = TestServer::start().await;
    let (hog, quiet) = (party(&server, 1), party(&server, 2));
    let batches: Vec<_> = (0..BATCHES)
        .map(|_| {
            let hog = hog.clone();
            tokio::spawn(async move { batch("wait").unary(hog).await })
        })
        .collect();
    handlers_wait(&server, 1).await;
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(quiet).await });
    handlers_wait(&server, 2).await;
    server.handlers.open_gate(2);
    call.await.unwrap().unwrap();
    let called = server.handlers.called();
    assert!(called <= 3, "{called} calls were served with the quiet one");
    server.handlers.open_gate(BATCHES);
    for batch in batches {
        batch.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_call_whose_deadline_passes_while_it_waits_is_out_of_the_queue() {
    let server = TestServer::start_with(|options| {
        options.limits.default_deadline = Duration::from_millis(100);
    })
    .await;
    let hog = party(&server, 1);
    let ask = |behaviour| {
        let (ask, hog) = (batch(behaviour).header("grpc-timeout", "30S"), hog.clone());
        async move { ask.unary(hog).await }
    };
    let first = tokio::spawn(ask("wait"));
    handlers_wait(&server, 1).await;
    let status = batch("echo").unary(hog.clone()).await.unwrap_err();
    assert_eq!(
        reason_of(&status),
        Some(ErrorReason::DeadlineExceeded),
        "{status}"
    );
    server.handlers.open_gate(1);
    first.await.unwrap().unwrap();
    ask("echo").await.unwrap();
    assert_eq!(server.handlers.called(), 2, "the late one was never served");
}
