//! Is there room for one more call?

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::places::{Caller, Full, Place, Places};
use super::shares::Shares;
use crate::methods::Methods;
use crate::peer::Peer;
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::shed;

/// Whether it is asked by load balancers and orchestrators: a server at its limit is not a dead one.
pub(crate) fn is_health_check(path: &str) -> bool {
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
    ]
    .contains(&path)
}

/// Places of the three kinds of calls, shared by all connections.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    calls: Kind,
    streams: Kind,
    checks: Kind,
}

/// The places of one kind of calls, and what a caller is told who finds none.
#[derive(Debug, Clone)]
struct Kind {
    places: Arc<Places>,
    plural: &'static str,
    retry_after: Duration,
}

/// Gives each call a place, or sheds it.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency<S> {
    inner: S,
    slots: Slots,
}

impl Slots {
    pub(super) fn new(shares: &Shares) -> Self {
        // Calls take milliseconds; a second clears any burst. Streams are long.
        let kind = |places, plural, seconds| Kind {
            places,
            plural,
            retry_after: Duration::from_secs(seconds),
        };
        let calls = Places::new(shares, |share| share.calls);
        let streams = Places::new(shares, |share| share.streams);
        let checks = Places::new(shares, |share| share.checks);
        Self {
            calls: kind(calls, "calls", 1),
            streams: kind(streams, "streams", 5),
            checks: kind(checks, "health checks", 1),
        }
    }

    /// The places that a call to `path` competes for. An unknown method is refused quickly, so it
    /// counts as unary.
    fn of(&self, path: &str) -> &Kind {
        if is_health_check(path) {
            return &self.checks;
        }
        let streams = Methods::of_mesh()
            .get(path)
            .is_some_and(|method| method.client_streaming || method.server_streaming);
        if streams { &self.streams } else { &self.calls }
    }
}

impl Kind {
    fn shed(&self, full: Full) -> Response<Body> {
        let Self { plural, .. } = self;
        let (reason, message) = match full {
            Full::Caller => (
                ErrorReason::CallerLimit,
                format!("the caller has more {plural} open than it may"),
            ),
            Full::Class => (
                ErrorReason::Overloaded,
                format!("the service is at its limit of {plural}"),
            ),
        };
        shed(reason, &message, self.retry_after)
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
        let kind = self.slots.of(request.uri().path());
        let caller = Caller::of(request.extensions().get::<Peer>());
        let place = match Place::take(&kind.places, caller) {
            Ok(place) => place,
            Err(full) => return answer(kind.shed(full)),
        };
        let pending = self.inner.call(request);
        Box::pin(async move { Ok(hold(pending.await?, place)) })
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
