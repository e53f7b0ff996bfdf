//! When, and how, does a call end?
//!
//! An RPC is over when its trailers were sent, or when the caller has gone; both may be long after
//! the handler returned. Trace, metrics and audit learn of it here, exactly once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::status::code_in;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// With this code, sent or received.
    Status(Code),
    /// Before there was a code: the caller went away or the connection broke.
    Cancelled,
}

impl CallEnd {
    /// The code to report; nobody may have seen it.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Status(code) => code,
            Self::Cancelled => Code::Cancelled,
        }
    }
}

/// Who wants to know how a call ended.
pub(crate) trait Observer: Send + Unpin + 'static {
    /// Called for each frame of an answer that goes out, before [`Observer::ended`].
    fn sends(&mut self, _frame: &Frame<Bytes>) {}

    /// Called once per call.
    fn ended(self, end: CallEnd);
}

/// Tells its observer [`CallEnd::Cancelled`] if it is dropped before anything else was told.
#[derive(Debug)]
pub(crate) struct Call<O: Observer>(Option<O>);

impl<O: Observer> Call<O> {
    pub(crate) const fn new(observer: O) -> Self {
        Self(Some(observer))
    }

    pub(crate) fn end(&mut self, end: CallEnd) {
        if let Some(observer) = self.0.take() {
            observer.ended(end);
        }
    }

    /// The observer, unless the call has ended.
    pub(crate) const fn observer(&mut self) -> Option<&mut O> {
        self.0.as_mut()
    }

    /// The observer, which is told of no end any more.
    pub(crate) const fn take(&mut self) -> Option<O> {
        self.0.take()
    }

    /// Goes on observing until the body of `response` has ended. The body is polled inside `span`.
    pub(crate) fn observe(mut self, response: Response<Body>, span: Span) -> Response<Body> {
        if let Some(code) = code_in(response.headers()) {
            self.end(CallEnd::Status(code));
            return response;
        }
        response.map(|inner| {
            if inner.is_end_stream() {
                self.end(CallEnd::Status(Code::Unknown));
                return inner;
            }
            Body::new(Observed {
                inner,
                call: self,
                span,
            })
        })
    }
}

impl<O: Observer> Drop for Call<O> {
    fn drop(&mut self) {
        self.end(CallEnd::Cancelled);
    }
}

struct Observed<O: Observer> {
    inner: Body,
    call: Call<O>,
    span: Span,
}

impl<O: Observer> HttpBody for Observed<O> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let entered = this.span.enter();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        drop(entered);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(observer) = &mut this.call.0 {
                    observer.sends(frame);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    let code = code_in(trailers).unwrap_or(Code::Unknown);
                    this.call.end(CallEnd::Status(code));
                }
            }
            Poll::Ready(Some(Err(status))) => this.call.end(CallEnd::Status(status.code())),
            Poll::Ready(None) => this.call.end(CallEnd::Status(Code::Unknown)),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    struct Tell(Sender<CallEnd>);

    impl Observer for Tell {
        fn ended(self, end: CallEnd) {
            self.0.send(end).unwrap();
        }
    }

    fn call() -> (Call<Tell>, Receiver<CallEnd>) {
        let (sender, receiver) = channel();
        (Call::new(Tell(sender)), receiver)
    }

    fn streaming(frames: Vec<Result<Frame<Bytes>, Status>>) -> Response<Body> {
        let frames = futures::stream::iter(frames);
        Response::new(Body::new(StreamBody::new(frames)))
    }

    fn ended_with(code: &'static str) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        Frame::trailers(trailers)
    }

    #[tokio::test]
    async fn trailers_end_a_call_with_their_code() {
        let (call, ends) = call();
        let message = Frame::data(Bytes::from_static(b"x"));
        let response = streaming(vec![Ok(message), Ok(ended_with("5"))]);
        let body = call.observe(response, Span::none()).into_body();
        assert!(ends.try_recv().is_err(), "the body has not been read yet");
        body.collect().await.unwrap();
        let all: Vec<_> = ends.iter().collect();
        assert_eq!(all, [CallEnd::Status(Code::NotFound)]);
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_is_a_cancelled_call() {
        let (call, ends) = call();
        let message = Frame::data(Bytes::from_static(b"x"));
        let response = streaming(vec![Ok(message), Ok(ended_with("0"))]);
        let mut body = call.observe(response, Span::none()).into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(ends.iter().collect::<Vec<_>>(), [CallEnd::Cancelled]);
    }

    #[tokio::test]
    async fn an_error_in_the_body_ends_a_call_with_its_code() {
        let (call, ends) = call();
        let response = streaming(vec![Err(Status::data_loss("gone"))]);
        let body = call.observe(response, Span::none()).into_body();
        assert!(body.collect().await.is_err());
        assert_eq!(
            ends.iter().collect::<Vec<_>>(),
            [CallEnd::Status(Code::DataLoss)]
        );
    }

    #[test]
    fn a_refusal_ends_a_call_at_once_and_a_call_never_answered_is_cancelled() {
        let (refused, ends) = call();
        refused.observe(Status::aborted("x").into_http(), Span::none());
        assert_eq!(
            ends.iter().collect::<Vec<_>>(),
            [CallEnd::Status(Code::Aborted)]
        );
        let (unanswered, ends) = call();
        drop(unanswered);
        assert_eq!(ends.iter().collect::<Vec<_>>(), [CallEnd::Cancelled]);
    }
}
