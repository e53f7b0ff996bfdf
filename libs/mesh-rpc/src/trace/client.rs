//! The client's side: a span per call, and its context in the headers.

use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{record_end, rpc_method, span_name};
use crate::methods::Methods;
use crate::observe::{Call, CallEnd, Observer};
use crate::rpc::CallFuture;
use crate::traceparent;

/// Opens the span of each call that a client makes.
#[derive(Debug, Clone)]
pub(crate) struct ClientTraceLayer {
    /// The name of the service that is called.
    pub(crate) server: &'static str,
}

/// The service of [`ClientTraceLayer`].
#[derive(Debug, Clone)]
pub(crate) struct ClientTrace<S> {
    inner: S,
    server: &'static str,
}

impl<S> Layer<S> for ClientTraceLayer {
    type Service = ClientTrace<S>;

    fn layer(&self, inner: S) -> ClientTrace<S> {
        ClientTrace {
            inner,
            server: self.server,
        }
    }
}

impl<S> Service<Request<Body>> for ClientTrace<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = CallFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> CallFuture {
        let method = Methods::of_mesh().get(request.uri().path());
        let span = tracing::info_span!(
            "rpc",
            otel.name = span_name(method),
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc_method(method),
            rpc.response.status_code = Empty,
            error.type = Empty,
            server.address = self.server,
        );
        traceparent::inject(&span.context(), request.headers_mut());
        let mut call = Call::new(ClientSpan(span.clone()));
        let answer = span.in_scope(|| self.inner.call(request));
        let outer = span.clone();
        Box::pin(
            async move {
                match answer.await {
                    Ok(response) => Ok(call.observe(response, span)),
                    Err(error) => {
                        call.end(CallEnd::Status(code_of(&error)));
                        Err(error)
                    }
                }
            }
            .instrument(outer),
        )
    }
}

/// The code that the stub will make of a transport's error.
fn code_of(error: &BoxError) -> Code {
    error
        .downcast_ref::<Status>()
        .map_or(Code::Unavailable, Status::code)
}

struct ClientSpan(Span);

impl Observer for ClientSpan {
    fn ended(self, end: CallEnd) {
        record_end(&self.0, end, end.code() != Code::Ok);
    }
}
