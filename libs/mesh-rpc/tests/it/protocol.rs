//! What becomes of requests that are no gRPC, and of metadata that is too large.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_rpc::{Bound, GlobalLimits};
use mesh_testkit::certificates;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::harness::{Ask, BEHAVIOUR, STREAM, TestServer, UNARY};
use crate::telemetry::{attributes, new_trace, spans};

const KIB: usize = 1024;
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// No message is empty on the wire: a flag and a length come before it.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

fn dsp(server: &TestServer) -> Channel {
    server.foreign(Some(&certificates().internal("dsp")))
}

fn post(path: &str) -> http::request::Builder {
    Request::post(path)
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .header(BEHAVIOUR, "echo")
}

async fn send(channel: &Channel, request: http::request::Builder) -> Response<Body> {
    let request = request.body(Body::new(Full::new(EMPTY))).unwrap();
    channel.clone().oneshot(request).await.unwrap()
}

/// How the answer refuses, which it does with its headers alone.
fn refusal(answer: &Response<Body>) -> (StatusCode, Code, Option<ErrorReason>) {
    let status = Status::from_header_map(answer.headers()).expect("a status in the headers");
    (answer.status(), status.code(), reason_of(&status))
}

const NO_GRPC: (StatusCode, Code, Option<ErrorReason>) = (
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    Code::InvalidArgument,
    Some(ErrorReason::NotGrpc),
);

#[tokio::test]
async fn what_is_not_grpc_is_told_so_in_http() {
    let server = TestServer::start().await;
    // Whoever shows no certificate is told the same.
    for channel in [dsp(&server), server.foreign(None)] {
        for path in [UNARY, STREAM, HEALTH, "/", "/no.such.Service/Method"] {
            for content_type in [
                "application/json",
                "text/plain",
                "",
                "application/grp",
                "application/grpcx",
                "application/grpc-web",
                "application/grpc-web+proto",
                "application/grpc-web-text",
                "xapplication/grpc",
                "application/octet-stream, application/grpc",
            ] {
                let request = Request::post(path).header(CONTENT_TYPE, content_type);
                let answer = send(&channel, request).await;
                assert_eq!(refusal(&answer), NO_GRPC, "{path} {content_type:?}");
                assert_eq!(answer.headers()[ACCEPT], "application/grpc");
            }
            let answer = send(&channel, Request::post(path)).await;
            assert_eq!(refusal(&answer), NO_GRPC, "{path} without a type");
            let two = post(path).header(CONTENT_TYPE, "application/json");
            let answer = send(&channel, two).await;
            assert_eq!(refusal(&answer), NO_GRPC, "{path} of two types");
        }
    }
    assert_eq!(
        (server.authorize.judged(), server.handlers.called()),
        (0, 0)
    );
}

#[tokio::test]
async fn only_post_is_a_call() {
    let server = TestServer::start().await;
    let channel = dsp(&server);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for content_type in ["application/grpc", "text/html"] {
            let request = Request::builder()
                .method(method.clone())
                .uri(UNARY)
                .header(CONTENT_TYPE, content_type);
            let answer = send(&channel, request).await;
            let told = (
                StatusCode::METHOD_NOT_ALLOWED,
                Code::InvalidArgument,
                Some(ErrorReason::NotGrpc),
            );
            assert_eq!(refusal(&answer), told, "{method} {content_type}");
            assert_eq!(answer.headers()[ALLOW], "POST");
        }
    }
    assert_eq!(server.handlers.called(), 0);
}

#[tokio::test]
async fn protobuf_is_the_one_encoding_of_messages() {
    let server = TestServer::start().await;
    let channel = dsp(&server);
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "Application/gRPC+Proto",
        "application/grpc;charset=utf-8",
        "application/grpc+proto; charset=utf-8",
    ] {
        let request = Request::post(UNARY)
            .header(CONTENT_TYPE, content_type)
            .header(BEHAVIOUR, "echo");
        let answer = send(&channel, request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{content_type}");
        assert!(Status::from_header_map(answer.headers()).is_none());
    }
    let called = server.handlers.called();
    for content_type in ["json", "thrift", "", "protox", "json;charset=utf-8"] {
        let content_type = format!("application/grpc+{content_type}");
        let request = Request::post(UNARY)
            .header(CONTENT_TYPE, &content_type)
            .header(BEHAVIOUR, "echo");
        let answer = send(&channel, request).await;
        let told = (
            StatusCode::OK,
            Code::Unimplemented,
            Some(ErrorReason::NotSupported),
        );
        assert_eq!(refusal(&answer), told, "{content_type}");
    }
    assert_eq!(server.handlers.called(), called);
}

/// A request with so many octets of metadata, about, in one value or in many.
fn with_metadata(path: &str, octets: usize, values: usize) -> http::request::Builder {
    (0..values).fold(post(path), |request, number| {
        let value = HeaderValue::from_bytes(&vec![b'x'; octets / values - 40]).unwrap();
        request.header(format!("x-long-{number}"), value)
    })
}

#[tokio::test]
async fn metadata_above_the_limit_is_refused_as_grpc_refuses() {
    let server = TestServer::start().await;
    let told = (
        StatusCode::OK,
        Code::ResourceExhausted,
        Some(ErrorReason::MetadataTooLarge),
    );
    for (who, channel) in [("dsp", dsp(&server)), ("guest", server.foreign(None))] {
        for path in [UNARY, STREAM, HEALTH] {
            for octets in [17, 20, 32, 48, 62] {
                for values in [1, 30] {
                    let request = with_metadata(path, octets * KIB, values);
                    let answer = send(&channel, request).await;
                    assert_eq!(refusal(&answer), told, "{who} {path} {octets} {values}");
                }
            }
        }
    }
    assert_eq!(server.authorize.judged(), 0, "nobody was asked about");
    let channel = dsp(&server);
    for values in [1, 30] {
        let answer = send(&channel, with_metadata(UNARY, 15 * KIB, values)).await;
        assert!(Status::from_header_map(answer.headers()).is_none());
    }
    assert_eq!(server.handlers.called(), 2);
}

/// Beyond what is judged here HTTP/2 refuses by itself, one call or, further on, the connection.
#[tokio::test]
async fn metadata_that_http2_refuses_harms_nobody_else() {
    let server = TestServer::start().await;
    let channel = dsp(&server);
    let answer = send(&channel, with_metadata(UNARY, 70 * KIB, 1)).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let request = with_metadata(UNARY, KIB * KIB, 1).body(Body::empty());
    let other = server.channel("operator");
    Ask::new(UNARY, "echo").unary(other.clone()).await.unwrap();
    channel.clone().oneshot(request.unwrap()).await.unwrap_err();
    Ask::new(UNARY, "echo").unary(other).await.unwrap();
    Ask::new(UNARY, "echo").unary(channel).await.unwrap();
    assert_eq!(server.handlers.called(), 3);
}

#[tokio::test]
async fn what_is_no_call_takes_no_place_and_is_traced_and_counted() {
    let mut full = GlobalLimits::default();
    full.shares.dcc.calls = Bound {
        class: 0,
        caller: 0,
    };
    let server = TestServer::start_with(|options| options.limits = full).await;
    let channel = dsp(&server);
    for (request, name) in [
        (Request::post(UNARY), "INVALID_ARGUMENT"),
        (Request::get(UNARY), "INVALID_ARGUMENT"),
        (with_metadata(UNARY, 20 * KIB, 1), "RESOURCE_EXHAUSTED"),
    ] {
        let (traceparent, trace) = new_trace();
        let answer = send(&channel, request.header("traceparent", traceparent)).await;
        let (_, _, reason) = refusal(&answer);
        assert_ne!(reason, Some(ErrorReason::Overloaded));
        let span = spans(&trace, 1).await.remove(0);
        let attributes = attributes(&span);
        assert_eq!(attributes["rpc.response.status_code"], name);
        assert!(!attributes.contains_key("error.type"), "the caller's fault");
    }
}
