//! How a server stops.

use std::time::Duration;

use mesh_testkit::{LIMIT, wait_until};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::harness::{Ask, STREAM, TestServer, UNARY};

#[tokio::test]
async fn a_server_that_drains_ends_its_streams_and_finishes_its_calls() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let (address, handlers, health) = (
        server.address,
        server.handlers.clone(),
        server.health.clone(),
    );
    let mut watch = HealthClient::new(channel.clone())
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let serving = |answer: Option<HealthCheckResponse>| answer.map(|answer| answer.status());
    assert_eq!(
        serving(watch.message().await.unwrap()),
        Some(ServingStatus::Serving)
    );
    let ask = Ask::new(STREAM, "until draining");
    let mut stream = ask.stream(channel.clone()).await.unwrap();
    stream.message().await.unwrap().unwrap();
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await });
    wait_until("the call to be in its handler", async || {
        match handlers.waiting() {
            1 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;

    let ended = server.stop();
    assert_eq!(stream.message().await.unwrap(), None, "a good end");
    assert_eq!(
        serving(watch.message().await.unwrap()),
        Some(ServingStatus::NotServing)
    );
    drop(watch);
    wait_until(
        "the listener to close",
        async || match TcpStream::connect(address).await {
            Ok(_) => Err("still accepting"),
            Err(_) => Ok(()),
        },
    )
    .await;
    health.set(Ok(()));
    assert!(
        !health.is_serving(),
        "a server that drains does not come back"
    );
    assert!(!ended.is_finished(), "the call is still in its handler");
    handlers.open_gate(1);
    assert_eq!(call.await.unwrap().unwrap(), b"hello");
    assert!(ended.await.unwrap().clean);
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_off_at_the_limit() {
    let limit = Duration::from_millis(200);
    let server = TestServer::start_with(|options| options.drain_limit = limit).await;
    let channel = server.channel("dsp");
    let mut stream = Ask::new(STREAM, "for ever").stream(channel).await.unwrap();
    stream.message().await.unwrap().unwrap();
    let start = Instant::now();
    let drained = timeout(LIMIT, server.stop()).await.unwrap().unwrap();
    assert!(!drained.clean);
    assert!(start.elapsed() >= limit);
    assert!(stream.message().await.is_err());
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = TestServer::start().await;
    Ask::new(UNARY, "echo")
        .unary(server.channel("dsp"))
        .await
        .unwrap();
    assert!(server.stop().await.unwrap().clean);
}
