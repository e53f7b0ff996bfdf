//! How long does a client wait?
//!
//! As long as the caller said, or as long as is left of the call that is being served, or for the
//! default, whichever is shortest. The server is told, and the client does not rely on it. A stream
//! without a deadline of its own is bounded until its first answer only.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use tokio::time::{Instant, Sleep, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status, TimeoutExpired};
use tower::{BoxError, Service};

use crate::limits::{GRPC_TIMEOUT, remaining, timeout_of};
use crate::methods::{Method, Methods};
use crate::rpc::CallFuture;

/// Kept back from the time that is left, so that our answer still reaches our own caller.
const MARGIN: Duration = Duration::from_millis(20);

/// Ends calls whose time is up with `DEADLINE_EXCEEDED`.
#[derive(Debug, Clone)]
pub(super) struct ClientDeadline<S> {
    inner: S,
    /// Whom we wait for.
    service: &'static str,
    default: Duration,
}

impl<S> ClientDeadline<S> {
    pub(super) const fn new(inner: S, service: &'static str, default: Duration) -> Self {
        Self {
            inner,
            service,
            default,
        }
    }
}

/// The time of one call.
#[derive(Debug, PartialEq, Eq)]
struct Allowed {
    /// Until the response starts.
    start: Option<Duration>,
    /// Until the last message; this the server is told.
    whole: Option<Duration>,
}

impl Allowed {
    fn of(
        method: Option<&Method>,
        asked: Option<Duration>,
        left: Option<Duration>,
        default: Duration,
    ) -> Self {
        let left = left.map(|left| left.saturating_sub(MARGIN));
        let client_streaming = method.is_some_and(|method| method.client_streaming);
        let server_streaming = method.is_some_and(|method| method.server_streaming);
        if server_streaming {
            // A stream outlives the call that opened it, unless it has a deadline of its own.
            return Self {
                start: Some(asked.unwrap_or(default)),
                whole: asked,
            };
        }
        let default = (!client_streaming).then_some(default);
        let whole = [asked.or(default), left].into_iter().flatten().min();
        Self {
            start: whole,
            whole,
        }
    }
}

impl<S> Service<Request<Body>> for ClientDeadline<S>
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
        let asked = timeout_of(request.headers());
        let method = Methods::of_mesh().get(request.uri().path());
        let allowed = Allowed::of(method, asked, remaining(), self.default);
        request.headers_mut().remove(GRPC_TIMEOUT);
        if let Some(whole) = allowed.whole {
            request.headers_mut().insert(GRPC_TIMEOUT, header(whole));
        }
        let (now, service) = (Instant::now(), self.service);
        let pending = self.inner.call(request);
        Box::pin(async move {
            let answered = match allowed.start {
                Some(start) => timeout_at(now + start, pending).await,
                None => Ok(pending.await),
            };
            let response = match answered {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(mapped(error, service)),
                Err(_) => return Err(exceeded(service).into()),
            };
            Ok(match allowed.whole {
                Some(whole) => end_at(response, service, now + whole),
                None => response,
            })
        })
    }
}

fn exceeded(service: &str) -> Status {
    mesh_api::status::refusal(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        format!("no answer from {service} before the deadline"),
    )
}

/// The transport notices the deadline at the same moment, and would call it `CANCELLED`.
fn mapped(error: BoxError, service: &str) -> BoxError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(this) = cause {
        if this.is::<TimeoutExpired>() {
            return exceeded(service).into();
        }
        cause = this.source();
    }
    error
}

/// `timeout` as gRPC writes it: at most eight digits, in the finest unit that fits.
fn header(timeout: Duration) -> HeaderValue {
    const LIMIT: u128 = 99_999_999;
    let text = match timeout {
        t if t.as_micros() <= LIMIT => format!("{}u", t.as_micros()),
        t if t.as_millis() <= LIMIT => format!("{}m", t.as_millis()),
        t => format!("{}S", u128::from(t.as_secs()).min(LIMIT)),
    };
    HeaderValue::try_from(text).expect("digits and a letter")
}

fn end_at(response: Response<Body>, service: &'static str, end: Instant) -> Response<Body> {
    response.map(|inner| {
        Body::new(Ending {
            inner,
            service,
            end: Box::pin(tokio::time::sleep_until(end)),
        })
    })
}

struct Ending {
    inner: Body,
    service: &'static str,
    end: Pin<Box<Sleep>>,
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending() && self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(exceeded(self.service))));
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
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn timeouts_are_written_as_they_are_read() {
        for timeout in [
            Duration::ZERO,
            Duration::from_micros(1),
            Duration::from_millis(250),
            99 * SECOND,
            3600 * SECOND,
            1_000_000 * SECOND,
        ] {
            let mut headers = http::HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, header(timeout));
            assert_eq!(timeout_of(&headers), Some(timeout));
        }
    }

    #[test]
    fn the_shortest_time_counts() {
        let method = |client_streaming, server_streaming| Method {
            name: "x".into(),
            client_streaming,
            server_streaming,
            request_octets: None,
            cost: crate::cost::Cost::default(),
        };
        let (unary, upload, stream) = (
            method(false, false),
            method(true, false),
            method(false, true),
        );
        let of = |method: &Method, asked, left| Allowed::of(Some(method), asked, left, 5 * SECOND);
        let both = |time: Option<Duration>| Allowed {
            start: time,
            whole: time,
        };
        assert_eq!(of(&unary, None, None), both(Some(5 * SECOND)));
        assert_eq!(of(&unary, Some(9 * SECOND), None), both(Some(9 * SECOND)));
        assert_eq!(of(&unary, None, Some(SECOND)), both(Some(SECOND - MARGIN)));
        assert_eq!(
            of(&unary, None, Some(Duration::ZERO)),
            both(Some(Duration::ZERO))
        );
        assert_eq!(of(&upload, None, None), both(None));
        assert_eq!(of(&upload, Some(SECOND), None), both(Some(SECOND)));
        let started_only = Allowed {
            start: Some(5 * SECOND),
            whole: None,
        };
        assert_eq!(of(&stream, None, Some(SECOND)), started_only);
        assert_eq!(of(&stream, Some(SECOND), None), both(Some(SECOND)));
    }
}
