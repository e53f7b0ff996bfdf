//! Is there room for one more call?

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::GlobalLimits;
use crate::methods::Methods;
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::shed;

/// When a shed caller should come back. Calls take milliseconds; a second clears any burst.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Asked by load balancers and orchestrators: a server at its limit is not a dead one.
pub(crate) const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// Free places, shared by all connections.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    unary: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// Gives each call a place, or sheds it.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency<S> {
    inner: S,
    slots: Slots,
}

impl Slots {
    pub(super) fn new(limits: &GlobalLimits) -> Self {
        Self {
            unary: Arc::new(Semaphore::new(limits.unary_calls)),
            streams: Arc::new(Semaphore::new(limits.streams)),
        }
    }

    /// The places that a call to `path` competes for. An unknown method is refused quickly, so it
    /// counts as unary.
    fn of(&self, path: &str) -> &Arc<Semaphore> {
        let streams = Methods::of_mesh()
            .get(path)
            .is_some_and(|method| method.client_streaming || method.server_streaming);
        if streams { &self.streams } else { &self.unary }
    }
}

impl<S> Concurrency<S> {
    pub(super) const fn new(inner: S, slots: Slots) -> Self {
        Self { inner, slots }
    }
}

impl<S: Rpc> Service<Request<Body>> for Concurrency<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let path = request.uri().path();
        if path == HEALTH_CHECK {
            return Box::pin(self.inner.call(request));
        }
        let Ok(slot) = self.slots.of(path).clone().try_acquire_owned() else {
            let message = "the service is at its limit of calls";
            return answer(shed(ErrorReason::Overloaded, message, RETRY_AFTER));
        };
        let pending = self.inner.call(request);
        Box::pin(async move { Ok(hold(pending.await?, slot)) })
    }
}

/// `response`, which gives up `slot` when its body has ended or is dropped.
pub(crate) fn hold<T: Send + Unpin + 'static>(response: Response<Body>, slot: T) -> Response<Body> {
    response.map(|inner| Body::new(Holding { inner, _slot: slot }))
}

struct Holding<T> {
    inner: Body,
    _slot: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
