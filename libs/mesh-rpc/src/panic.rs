//! What does a caller see when a handler panics?
//!
//! `INTERNAL`, as a proper gRPC answer, and never an HTTP error or a broken connection; the same if
//! a stream panics after its first message. The text of the panic goes to the log only.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::{refuse, trailers};

/// Turns panics of everything inside it into `INTERNAL`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PanicGuardLayer;

/// The service of [`PanicGuardLayer`].
#[derive(Debug, Clone)]
pub(crate) struct PanicGuard<S> {
    inner: S,
}

impl<S> Layer<S> for PanicGuardLayer {
    type Service = PanicGuard<S>;

    fn layer(&self, inner: S) -> PanicGuard<S> {
        PanicGuard { inner }
    }
}

impl<S: Rpc> Service<Request<Body>> for PanicGuard<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        // Nothing that panicked is used again: the future is dropped, and what handlers share is
        // behind locks that know of poisoning.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let pending = match called {
            Ok(pending) => AssertUnwindSafe(pending).catch_unwind(),
            Err(panic) => return answer(refuse(internal(&*panic))),
        };
        Box::pin(async move {
            match pending.await {
                Ok(Ok(response)) => Ok(response.map(|inner| Body::new(Guarded(Some(inner))))),
                Ok(Err(never)) => match never {},
                Err(panic) => Ok(refuse(internal(&*panic))),
            }
        })
    }
}

/// A response body; `None` once it has panicked.
struct Guarded(Option<Body>);

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)));
        polled.unwrap_or_else(|panic| {
            self.0 = None;
            Poll::Ready(Some(Ok(trailers(&internal(&*panic)))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

fn internal(panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    tracing::error!(panic = text, "a handler panicked");
    mesh_api::status::internal()
}
