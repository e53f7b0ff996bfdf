//! How many calls are there, how long do they take, and how do they end?
//!
//! Refused and cancelled calls are counted like any other. Labels are bounded: the method comes from
//! the contracts, the code from the specification, the service from the program. No caller, address
//! or Device ever becomes a label.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_name;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Span;

use crate::audit::answer_in;
use crate::methods::{Methods, OTHER, label};
use crate::observe::{Call, CallEnd, Observer};
use crate::rpc::{Rpc, RpcFuture};
use crate::status::code_name;

/// Bucket bounds in seconds, as OpenTelemetry gives them for durations; one set for RPCs and
/// databases, so that the two can be compared.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Measures each RPC that a server receives.
#[derive(Debug, Clone)]
pub(crate) struct MetricsLayer {
    service: &'static str,
    instruments: Instruments,
}

/// The service of [`MetricsLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Metrics<S> {
    inner: S,
    service: &'static str,
    instruments: Instruments,
}

#[derive(Debug, Clone)]
struct Instruments {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    refused: Counter<u64>,
    cancelled: Counter<u64>,
}

impl MetricsLayer {
    /// `service` becomes the label `mp169.service`: one process may run several.
    pub(crate) fn new(service: &'static str, meter: &Meter) -> Self {
        Self {
            service,
            instruments: Instruments {
                duration: meter
                    .f64_histogram("rpc.server.call.duration")
                    .with_unit("s")
                    .with_description("Duration of incoming RPCs, a stream's until it ends")
                    .with_boundaries(DURATION_BUCKETS.to_vec())
                    .build(),
                active: meter
                    .i64_up_down_counter("mp169.server.active_calls")
                    .with_unit("{call}")
                    .with_description("RPCs that are being served")
                    .build(),
                refused: meter
                    .u64_counter("mp169.server.refused_calls")
                    .with_unit("{call}")
                    .with_description("RPCs that the chain or a handler refused, by the reason")
                    .build(),
                cancelled: meter
                    .u64_counter("mp169.server.cancelled_calls")
                    .with_unit("{call}")
                    .with_description("RPCs whose caller went away before the end")
                    .build(),
            },
        }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Metrics<S> {
        Metrics {
            inner,
            service: self.service,
            instruments: self.instruments.clone(),
        }
    }
}

impl<S: Rpc> Service<Request<Body>> for Metrics<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let method = Methods::of_mesh().get(request.uri().path());
        let labels = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", label(method)),
            KeyValue::new("mp169.service", self.service),
        ];
        self.instruments.active.add(1, &labels);
        let mut call = Call::new(Measured {
            since: Instant::now(),
            labels,
            reason: None,
            instruments: self.instruments.clone(),
        });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(measured) = call.observer() {
                measured.hear(answer.headers());
            }
            Ok(call.observe(answer, Span::none()))
        })
    }
}

struct Measured {
    since: Instant,
    labels: [KeyValue; 3],
    /// Why the call is refused, if an answer says so.
    reason: Option<ErrorReason>,
    instruments: Instruments,
}

impl Measured {
    /// Notes what headers or trailers say of the end.
    fn hear(&mut self, headers: &HeaderMap) {
        self.reason = answer_in(headers).and_then(|answer| answer.reason);
    }
}

impl Observer for Measured {
    fn sends(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.hear(trailers);
        }
    }

    fn ended(self, end: CallEnd) {
        self.instruments.active.add(-1, &self.labels);
        let [system, method, service] = self.labels;
        let code = KeyValue::new("rpc.response.status_code", code_name(end.code()));
        let labels = [system, method, service, code];
        let seconds = self.since.elapsed().as_secs_f64();
        self.instruments.duration.record(seconds, &labels);
        if end == CallEnd::Cancelled {
            self.instruments.cancelled.add(1, &labels[..3]);
        } else if is_refusal(end.code()) {
            let [system, method, service, code] = labels;
            let reason = KeyValue::new("reason", self.reason.map_or(OTHER, reason_name));
            let labels = [system, method, service, code, reason];
            self.instruments.refused.add(1, &labels);
        }
    }
}

/// The codes by which a caller is refused what it asks; the others are answers, or trouble on our side.
const fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::Aborted
    )
}
