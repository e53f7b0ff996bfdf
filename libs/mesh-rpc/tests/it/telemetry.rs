//! What spans and metrics say about calls of every kind.

use std::collections::BTreeMap;

use mesh_pki::Profile;
use mesh_rpc::{GlobalLimits, Telemetry, TelemetryError, TelemetryOptions, link_to};
use mesh_testkit::{certificates, wait_until};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tower::ServiceExt as _;

use crate::harness::{Ask, STREAM, TestServer, UNARY, collected, hex, labels};

/// A traceparent with a trace id of its own, and that trace id.
pub(crate) fn new_trace() -> (String, String) {
    let trace = format!("{:032x}", rand::random::<u128>() | 1);
    (format!("00-{trace}-00f067aa0ba902b7-01"), trace)
}

pub(crate) async fn spans(trace: &str, count: usize) -> Vec<Span> {
    wait_until("the spans to arrive", async || {
        let spans = collected().trace(trace);
        if spans.len() >= count {
            Ok(spans)
        } else {
            Err(format!("{} spans", spans.len()))
        }
    })
    .await
}

pub(crate) fn attributes(span: &Span) -> BTreeMap<String, String> {
    labels(&span.attributes).into_iter().collect()
}

#[tokio::test]
async fn a_call_is_one_span_on_either_side_of_the_wire() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let root = tracing::info_span!("root");
    let traceparent = root.in_scope(mesh_rpc::current_traceparent).unwrap();
    let answer =
        tracing::Instrument::instrument(Ask::new(UNARY, "report").unary(channel), root.clone())
            .await
            .unwrap();
    drop(root);
    let trace = &traceparent[3..35];
    let all = spans(trace, 3).await;
    let kind = |kind: SpanKind| all.iter().find(|span| span.kind() == kind).unwrap();
    let (root, client, serving) = (
        kind(SpanKind::Internal),
        kind(SpanKind::Client),
        kind(SpanKind::Server),
    );
    assert_eq!(root.span_id, client.parent_span_id);
    assert_eq!(client.span_id, serving.parent_span_id);
    let name = "mp169.flag_registry.v1.FlagService/GetFlag";
    for span in [client, serving] {
        assert_eq!(span.name, name);
        let attributes = attributes(span);
        assert_eq!(attributes["rpc.system.name"], "grpc");
        assert_eq!(attributes["rpc.method"], name);
        assert_eq!(attributes["rpc.response.status_code"], "OK");
        assert!(!attributes.contains_key("error.type"));
    }
    let attributes = attributes(serving);
    assert_eq!(attributes["mp169.service"], "flag-registry");
    assert_eq!(attributes["network.peer.address"], "127.0.0.1");
    let answer = String::from_utf8(answer).unwrap();
    let inside = format!("trace=Some(\"00-{trace}-{}-01\")", hex(&serving.span_id));
    assert!(answer.contains(&inside), "{answer}");
}

/// The client's span of such a call is left out as the server's is, and what it is part of is kept.
#[tokio::test]
async fn health_checks_and_reflection_leave_no_span() {
    let server = TestServer::start().await;
    let channel = server.channel("dsp");
    let root = tracing::info_span!("root");
    let traceparent = root.in_scope(mesh_rpc::current_traceparent).unwrap();
    let trace = &traceparent[3..35];
    let calls = async {
        let mut health = HealthClient::new(channel.clone());
        health.check(HealthCheckRequest::default()).await.unwrap();
        let asked = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut reflection = ServerReflectionClient::new(channel.clone());
        let answers = reflection.server_reflection_info(tokio_stream::once(asked));
        let mut answers = answers.await.unwrap().into_inner();
        while answers.message().await.unwrap().is_some() {}
        Ask::new(UNARY, "echo").unary(channel).await.unwrap();
    };
    tracing::Instrument::instrument(calls, root.clone()).await;
    drop(root);
    // The root ends last: whatever had been kept of the calls before would be there.
    let mut names: Vec<_> = spans(trace, 3).await.into_iter().map(|s| s.name).collect();
    names.sort_unstable();
    assert_eq!(names, [&UNARY[1..], &UNARY[1..], "root"]);

    let foreign = server.foreign(Some(&certificates().internal("dsp")));
    let (checked, checked_trace) = new_trace();
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    let checked = checked.parse().unwrap();
    request.metadata_mut().insert("traceparent", checked);
    let mut health = HealthClient::new(foreign.clone());
    health.check(request).await.unwrap();
    let (later, later_trace) = new_trace();
    let ask = Ask::new(UNARY, "echo").header("traceparent", later);
    ask.unary(foreign).await.unwrap();
    spans(&later_trace, 1).await;
    assert!(collected().trace(&checked_trace).is_empty());
}

#[tokio::test]
async fn refused_shed_and_panicked_calls_have_their_span() {
    let mut full = GlobalLimits::default();
    full.shares.dcc.calls.class = 0;
    let open = TestServer::start().await;
    let shut = TestServer::start_with(|options| options.limits = full).await;
    let nobody = certificates().issue(&Profile::default());
    let dsp = certificates().internal("dsp");
    for (channel, behaviour, code, error) in [
        (open.foreign(None), "echo", Code::Unauthenticated, false),
        (
            open.foreign(Some(&nobody)),
            "echo",
            Code::Unauthenticated,
            false,
        ),
        (
            shut.foreign(Some(&dsp)),
            "echo",
            Code::ResourceExhausted,
            false,
        ),
        (open.foreign(Some(&dsp)), "panic", Code::Internal, true),
    ] {
        let (traceparent, trace) = new_trace();
        let ask = Ask::new(UNARY, behaviour).header("traceparent", traceparent);
        assert_eq!(ask.unary(channel).await.unwrap_err().code(), code);
        let span = spans(&trace, 1).await.remove(0);
        let attributes = attributes(&span);
        let name = mesh_rpc::code_name(code);
        assert_eq!(attributes["rpc.response.status_code"], name);
        assert_eq!(attributes.contains_key("error.type"), error, "{name}");
        let status = span.status.unwrap_or_default();
        assert_eq!(status.code() == StatusCode::Error, error, "{name}");
    }
}

#[tokio::test]
async fn the_span_of_a_stream_ends_with_the_stream() {
    let server = TestServer::start().await;
    let channel = server.foreign(Some(&certificates().internal("dsp")));
    let (traceparent, trace) = new_trace();
    let ask = Ask::new(STREAM, "for ever").header("traceparent", traceparent);
    let mut stream = ask.stream(channel.clone()).await.unwrap();
    stream.message().await.unwrap();
    // A later call's span arrives, the open stream's has not.
    let (later, later_trace) = new_trace();
    let ask = Ask::new(UNARY, "echo").header("traceparent", later);
    ask.unary(channel).await.unwrap();
    spans(&later_trace, 1).await;
    assert!(collected().trace(&trace).is_empty());
    drop(stream);
    let span = spans(&trace, 1).await.remove(0);
    assert_eq!(attributes(&span)["rpc.response.status_code"], "CANCELLED");
}

#[tokio::test]
async fn a_hostile_trace_context_starts_a_new_trace_and_the_call_succeeds() {
    let server = TestServer::start().await;
    let channel = server.foreign(Some(&certificates().internal("dsp")));
    let long = "f".repeat(8000);
    for hostile in [
        "",
        "rubbish",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-zz",
        "ff-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01",
        "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01-ffffffff",
        "%00%0a%0d",
        "../../etc/passwd",
        &long,
    ] {
        let ask = Ask::new(UNARY, "report")
            .header("traceparent", hostile)
            .header("tracestate", "=,=,=;;;");
        let answer = ask.unary(channel.clone()).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let trace = answer
            .lines()
            .find(|line| line.starts_with("trace="))
            .unwrap();
        let trace = &trace["trace=Some(\"00-".len()..][..32];
        assert_ne!(trace, "f".repeat(32), "{hostile}");
        let span = spans(trace, 1).await.remove(0);
        assert!(span.parent_span_id.is_empty(), "{hostile}");
    }
}

#[tokio::test]
async fn a_caller_from_outside_cannot_go_unseen() {
    let server = TestServer::start().await;
    let (unsampled, hidden) = new_trace();
    let unsampled = unsampled.replace("-01", "-00");
    let ask = Ask::new(UNARY, "echo").header("traceparent", unsampled);
    let party = certificates().organisation("90-B3-D5-1F-30-01-00-00".parse().unwrap());
    ask.unary(server.foreign(Some(&party))).await.unwrap();
    let span = spans(&hidden, 1).await.remove(0);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
}

#[tokio::test]
async fn a_record_of_the_log_tells_of_which_call_and_process_it_is() {
    let server = TestServer::start().await;
    let (traceparent, trace) = new_trace();
    let ask = Ask::new(UNARY, "panic").header("traceparent", traceparent);
    let channel = server.foreign(Some(&certificates().internal("dsp")));
    ask.unary(channel).await.unwrap_err();
    let records = wait_until("the record to arrive", async || {
        let records = collected().records(&trace);
        if records.is_empty() {
            Err("none")
        } else {
            Ok(records)
        }
    });
    let (resource, record) = records.await.remove(0);
    let span = spans(&trace, 1).await.remove(0);
    assert_eq!(record.span_id, span.span_id);
    assert_eq!(record.severity_text, "ERROR");
    let resource: BTreeMap<_, _> = resource.into_iter().collect();
    assert_eq!(resource["service.name"], "tests");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 36);
    assert_ne!(resource["host.name"], "");
}

#[tokio::test]
async fn telemetry_is_installed_once_and_only_with_a_readable_filter() {
    TestServer::start().await;
    let options = TelemetryOptions::new("second");
    let second = Telemetry::install(&options).unwrap_err();
    assert!(matches!(second, TelemetryError::Installed), "{second}");
    let options = TelemetryOptions {
        filter: "info=loud=".to_owned(),
        ..options
    };
    let unreadable = Telemetry::install(&options).unwrap_err();
    assert!(
        matches!(unreadable, TelemetryError::Filter(_)),
        "{unreadable}"
    );
}

#[tokio::test]
async fn later_work_links_to_the_call_that_caused_it() {
    let server = TestServer::start().await;
    drop(server);
    let (cause, _) = new_trace();
    let work = tracing::info_span!("apply");
    assert!(link_to(&work, &cause));
    assert!(!link_to(&work, "rubbish"));
    let trace = work.in_scope(mesh_rpc::current_traceparent).unwrap()[3..35].to_owned();
    drop(work);
    let span = spans(&trace, 1).await.remove(0);
    assert_eq!(span.links.len(), 1);
    let link = &span.links[0];
    let linked = format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id));
    assert_eq!(linked, cause);
}

#[tokio::test]
async fn every_end_is_counted_under_bounded_labels() {
    let service = "metrics-test";
    let mut full = GlobalLimits::default();
    full.shares.dcc.streams.class = 1;
    let server = TestServer::start_with(|options| {
        options.service = service;
        options.limits = full;
    })
    .await;
    let channel = server.foreign(Some(&certificates().internal("dsp")));
    Ask::new(UNARY, "echo")
        .unary(channel.clone())
        .await
        .unwrap();
    Ask::new(UNARY, "panic")
        .unary(channel.clone())
        .await
        .unwrap_err();
    Ask::new(UNARY, "echo")
        .unary(server.foreign(None))
        .await
        .unwrap_err();
    let stream = Ask::new(STREAM, "for ever")
        .stream(channel.clone())
        .await
        .unwrap();
    let shed = Ask::new(STREAM, "for ever").stream(channel.clone()).await;
    assert_eq!(shed.unwrap_err().code(), Code::ResourceExhausted);
    drop(stream);
    let no_grpc = http::Request::post(UNARY).body(tonic::body::Body::empty());
    channel.clone().oneshot(no_grpc.unwrap()).await.unwrap();
    for made_up in [
        "/made.up/One",
        "/made.up/Two",
        "/mp169.flag_registry.v1.FlagService/Nil",
    ] {
        let ask = Ask::new(made_up, "echo");
        // Unknown services are not routed; an unknown method of a known one reaches its handler.
        let _ = ask.unary(channel.clone()).await;
    }
    let (get, follow) = (&UNARY[1..], &STREAM[1..]);
    let expected = [
        (get, "OK", 1.0),
        (get, "INTERNAL", 1.0),
        (get, "UNAUTHENTICATED", 1.0),
        (get, "INVALID_ARGUMENT", 1.0),
        (follow, "CANCELLED", 1.0),
        (follow, "RESOURCE_EXHAUSTED", 1.0),
        ("_OTHER", "UNIMPLEMENTED", 2.0),
        ("_OTHER", "OK", 1.0),
    ];
    let mut expected: Vec<_> = expected
        .iter()
        .map(|&(method, code, count)| (method.to_owned(), code.to_owned(), count))
        .collect();
    expected.sort_by(|one, other| one.partial_cmp(other).unwrap());
    let of = |name: &str| -> Vec<(BTreeMap<String, String>, f64)> {
        let all = collected().series(name).into_iter();
        let all = all.map(|(labels, value)| (BTreeMap::from_iter(labels), value));
        all.filter(|(labels, _)| labels["mp169.service"] == service)
            .collect()
    };
    wait_until("all calls to be counted", async || {
        let mut counted: Vec<_> = of("rpc.server.call.duration")
            .into_iter()
            .map(|(mut labels, count)| {
                assert_eq!(labels.len(), 4, "{labels:?}");
                assert_eq!(labels["rpc.system.name"], "grpc");
                let method = labels.remove("rpc.method").unwrap();
                let code = labels.remove("rpc.response.status_code").unwrap();
                (method, code, count)
            })
            .collect();
        counted.sort_by(|one, other| one.partial_cmp(other).unwrap());
        if counted == expected {
            Ok(())
        } else {
            Err(format!("{counted:?}"))
        }
    })
    .await;
    let total = |name: &str| of(name).iter().map(|(_, value)| value).sum::<f64>();
    wait_until("the other counters", async || {
        let seen = (
            total("mp169.server.active_calls"),
            total("mp169.server.refused_calls"),
            total("mp169.server.cancelled_calls"),
        );
        if seen == (0.0, 3.0, 1.0) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
}
