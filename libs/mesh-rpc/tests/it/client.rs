//! The client chain where the server does not help.

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::{ClientOptions, Retry, connect};
use mesh_testkit::certificates;
use tokio::net::TcpListener;
use tonic::Code;

use crate::harness::{Ask, SERVICE, STREAM, TestServer, UNARY, tls};

#[tokio::test]
async fn a_server_that_never_answers_is_a_deadline_exceeded() {
    // Accepts connections in its queue and says nothing, not even TLS.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut options = ClientOptions::new(SERVICE, address, tls(&certificates().internal("dsp")));
    options.deadline = Duration::from_millis(100);
    let channel = connect(options);
    for path in [UNARY, STREAM] {
        let status = Ask::new(path, "echo")
            .stream(channel.clone())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert_eq!(reason_of(&status), Some(ErrorReason::DeadlineExceeded));
    }
}

#[tokio::test]
async fn nothing_listening_is_unavailable_and_a_retry_finds_the_server_that_came_back() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = tls(&certificates().internal("dsp"));
    let channel = connect(ClientOptions::new(SERVICE, address.to_string(), client));
    let status = Ask::new(UNARY, "echo")
        .unary(channel.clone())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    let mut server = None;
    let answer = Retry::default()
        .idempotent(async || {
            let answer = Ask::new(UNARY, "echo").unary(channel.clone()).await;
            if server.is_none() {
                let listener = TcpListener::bind(address).await.unwrap();
                server = Some(TestServer::start_with(|options| options.listener = listener).await);
            }
            answer
        })
        .await;
    assert_eq!(answer.unwrap(), b"hello");
}

#[tokio::test]
async fn a_stream_without_a_deadline_outlives_the_default_one() {
    let server = TestServer::start().await;
    let client = tls(&certificates().internal("dsp"));
    let mut options = ClientOptions::new(SERVICE, server.address.to_string(), client);
    options.deadline = Duration::from_millis(300);
    let channel = connect(options);
    let ask = Ask::new(STREAM, "until draining");
    let mut stream = ask.stream(channel.clone()).await.unwrap();
    stream.message().await.unwrap().unwrap();
    let status = Ask::new(UNARY, "wait").unary(channel).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::DeadlineExceeded,
        "the default has passed"
    );
    server.stop();
    assert_eq!(stream.message().await.unwrap(), None);
}
