//! How do the calls on a connection learn that it is about to be closed?
//!
//! In steps, so that nobody loses an answer for want of a word: streams without end see
//! [`Ending`](mesh_authz::Ending) and say where to go on; what has not ended by itself then ends with
//! a status; only after that the connection is cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use mesh_authz::Ending;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::rpc::RpcFuture;
use crate::status::{refuse, trailers};

/// Where one connection stands. Cheap to clone: each call on it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    ending: Ending,
    closed: CancellationToken,
    over: CancellationToken,
}

impl Standing {
    /// Watched by the handlers of streams.
    pub(crate) fn ending(&self) -> &Ending {
        &self.0.ending
    }

    /// Takes no new calls from now on: the peer is accepted no more.
    pub(crate) fn close(&self) {
        self.0.closed.cancel();
    }

    /// Ends every call that is left, with a status.
    pub(crate) fn end_calls(&self) {
        self.0.over.cancel();
    }

    /// The refusal of a call that comes too late.
    pub(crate) fn refusal(&self) -> Option<Response<Body>> {
        self.0.closed.is_cancelled().then(|| refuse(closing()))
    }

    /// A call that ends with a status when its connection has to. What a unary call answers is whole when it
    /// comes, and waits for nothing: only the body of a stream is bound.
    pub(crate) fn bound(self, called: RpcFuture, streams: bool) -> RpcFuture {
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                answered = called => answered?,
                () = self.0.over.cancelled() => return Ok(refuse(closing())),
            };
            Ok(if streams {
                response.map(|inner| self.bind(inner))
            } else {
                response
            })
        })
    }

    fn bind(self, inner: Body) -> Body {
        Body::new(Bound {
            inner: Some(inner),
            standing: self,
            waits: None,
        })
    }
}

fn closing() -> Status {
    mesh_api::status::refusal(
        Code::Unavailable,
        ErrorReason::Draining,
        "the connection is closed because a certificate on it is accepted no more; connect again",
    )
}

/// A response body; `None` once it was ended.
struct Bound {
    inner: Option<Body>,
    standing: Standing,
    /// Waits for its end, once there was nothing to send: most answers never come to that.
    waits: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl HttpBody for Bound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else {
            return Poll::Ready(None);
        };
        // What is ready goes out first: a stream that ends by itself says more.
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let over = &this.standing.0.over;
        let begin = || Box::pin(over.clone().cancelled_owned());
        std::task::ready!(this.waits.get_or_insert_with(begin).as_mut().poll(cx));
        this.inner = None;
        Poll::Ready(Some(Ok(trailers(&closing()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
