//! Which span belongs to this RPC, and where did it come from?
//!
//! One span per RPC and hop, with OpenTelemetry's current RPC attribute names. It continues the
//! caller's W3C trace context and lasts until the call has ended, a stream's as long as the stream.
//! No attribute names a Device, a person or anything else from a message.

mod client;

use std::task::{Context, Poll};

use http::Request;
use mesh_authz::Identity;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::methods::{Method, Methods, OTHER};
use crate::observe::{Call, CallEnd, Observer};
use crate::peer::Peer;
use crate::rpc::{Rpc, RpcFuture};
use crate::status::code_name;
use crate::traceparent::{self, FromOutside};

pub(crate) use client::{ClientTrace, ClientTraceLayer};

/// Opens the span of each RPC that a server receives.
#[derive(Debug, Clone)]
pub(crate) struct TraceLayer {
    service: &'static str,
}

/// The service of [`TraceLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Trace<S> {
    inner: S,
    service: &'static str,
}

impl TraceLayer {
    /// `service` becomes the attribute `mp169.service` of each span: one process may run several.
    pub(crate) const fn new(service: &'static str) -> Self {
        Self { service }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace {
            inner,
            service: self.service,
        }
    }
}

impl<S: Rpc> Service<Request<Body>> for Trace<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let span = self.span(&request);
        let call = Call::new(ServerSpan(span.clone()));
        let answer = span.in_scope(|| self.inner.call(request));
        let outer = span.clone();
        Box::pin(
            async move {
                let response = answer.await?;
                Ok(call.observe(response, span))
            }
            .instrument(outer),
        )
    }
}

impl<S> Trace<S> {
    fn span(&self, request: &Request<Body>) -> Span {
        let method = Methods::of_mesh().get(request.uri().path());
        let span = tracing::info_span!(
            "rpc",
            otel.name = span_name(method),
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc_method(method),
            rpc.response.status_code = Empty,
            error.type = Empty,
            network.peer.address = Empty,
            network.peer.port = Empty,
            mp169.service = self.service,
        );
        if span.is_disabled() {
            // Neither logged nor exported: nobody would see what is read below.
            return span;
        }
        let peer = request.extensions().get::<Peer>();
        let mut parent = traceparent::extract(request.headers());
        if !peer.is_some_and(is_of_the_mesh) {
            parent = parent.with_value(FromOutside);
        }
        // Fails where no telemetry is installed; then there is no trace to be part of.
        let _ = span.set_parent(parent);
        if let Some(peer) = peer {
            let address = peer.address();
            span.record("network.peer.address", address.ip().to_string());
            span.record("network.peer.port", address.port());
        }
        span
    }
}

fn is_of_the_mesh(peer: &Peer) -> bool {
    matches!(peer.identity(), Some(Ok(Identity::Internal(_))))
}

/// The span's name is the method's, or the system's where the method is not known.
fn span_name(method: Option<&'static Method>) -> &'static str {
    method.map_or("grpc", |method| &method.name)
}

fn rpc_method(method: Option<&'static Method>) -> &'static str {
    method.map_or(OTHER, |method| &method.name)
}

/// Records on a span how its call ended.
fn record_end(span: &Span, end: CallEnd, is_error: bool) {
    let name = code_name(end.code());
    span.record("rpc.response.status_code", name);
    if is_error {
        span.record("error.type", name);
        span.record("otel.status_code", "ERROR");
    }
}

struct ServerSpan(Span);

impl Observer for ServerSpan {
    fn ended(self, end: CallEnd) {
        record_end(&self.0, end, is_server_error(end.code()));
    }
}

/// The codes that mean trouble on the server's side; the others are the caller's business.
const fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
