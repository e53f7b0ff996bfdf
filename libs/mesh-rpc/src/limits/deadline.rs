//! How long may this call take?
//!
//! The transport of tonic would answer an expired deadline with `CANCELLED` and would not bound
//! streams at all, so both are done here. When the time is up the handler's future is dropped:
//! handlers must be safe to cancel at every await.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::GlobalLimits;
use crate::methods::{Method, Methods};
use crate::rpc::{Rpc, RpcFuture};
use crate::status::{refuse, trailers};

/// How gRPC carries the time that is left for a call.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

tokio::task_local! {
    /// When the call that this task serves must be answered.
    static DEADLINE: Instant;
}

/// The time that is left for the call that this task serves; `None` outside of one.
#[must_use]
pub fn remaining() -> Option<Duration> {
    DEADLINE
        .try_with(|end| end.saturating_duration_since(Instant::now()))
        .ok()
}

/// Ends calls whose time is up with `DEADLINE_EXCEEDED`.
#[derive(Debug, Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
    limits: GlobalLimits,
}

impl<S> Deadline<S> {
    pub(super) const fn new(inner: S, limits: GlobalLimits) -> Self {
        Self { inner, limits }
    }
}

/// The time of one call.
struct Allowed {
    /// Until the response starts; for a unary call that is all of it.
    start: Duration,
    /// Until the last message, where the caller set a deadline on a stream of answers.
    whole: Option<Duration>,
}

impl Allowed {
    fn of(method: Option<&Method>, asked: Option<Duration>, limits: &GlobalLimits) -> Self {
        let client_streaming = method.is_some_and(|method| method.client_streaming);
        let server_streaming = method.is_some_and(|method| method.server_streaming);
        let start = match (client_streaming, server_streaming) {
            (true, false) => asked.unwrap_or(limits.upload_deadline),
            (_, true) => asked.unwrap_or(limits.default_deadline),
            (false, false) => asked
                .unwrap_or(limits.default_deadline)
                .min(limits.longest_deadline),
        };
        Self {
            start,
            whole: asked.filter(|_| server_streaming),
        }
    }
}

impl<S: Rpc> Service<Request<Body>> for Deadline<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let asked = timeout_of(request.headers());
        let method = Methods::of_mesh().get(request.uri().path());
        let allowed = Allowed::of(method, asked, &self.limits);
        let now = Instant::now();
        let end = now + allowed.start;
        // What the inner service does at once, outside of its future, counts as well.
        let pending = DEADLINE.sync_scope(end, || self.inner.call(request));
        Box::pin(async move {
            let scoped = DEADLINE.scope(end, pending);
            let Ok(answered) = tokio::time::timeout_at(end, scoped).await else {
                return Ok(refuse(exceeded()));
            };
            let response = answered?;
            Ok(match allowed.whole {
                Some(whole) => end_at(response, now + whole),
                None => response,
            })
        })
    }
}

fn exceeded() -> Status {
    mesh_api::status::refusal(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        "the deadline passed",
    )
}

/// Reads `grpc-timeout`: up to eight digits and a unit. Anything else is as good as none.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

fn end_at(response: Response<Body>, end: Instant) -> Response<Body> {
    response.map(|inner| {
        Body::new(Ending {
            inner: Some(inner),
            end: Box::pin(tokio::time::sleep_until(end)),
        })
    })
}

/// A stream of answers that ends with `DEADLINE_EXCEEDED`; `inner` is gone once it has.
struct Ending {
    inner: Option<Body>,
    end: Pin<Box<Sleep>>,
}

impl HttpBody for Ending {
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
        if this.end.as_mut().poll(cx).is_pending() {
            return Pin::new(inner).poll_frame(cx);
        }
        this.inner = None;
        Poll::Ready(Some(Ok(trailers(&exceeded()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
        timeout_of(&headers)
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        assert_eq!(timeout_of(&HeaderMap::new()), None);
        for rubbish in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            "1.5S",
            "100000000S",
            "1 S",
            "1SS",
        ] {
            assert_eq!(read(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn time_is_allowed_by_the_kind_of_call() {
        let limits = GlobalLimits::default();
        let allowed = |client_streaming, server_streaming, asked: Option<u64>| {
            let method = Method {
                name: "x".into(),
                client_streaming,
                server_streaming,
                request_octets: None,
                cost: Cost::default(),
            };
            let asked = asked.map(Duration::from_secs);
            let allowed = Allowed::of(Some(&method), asked, &limits);
            (allowed.start.as_secs(), allowed.whole.map(|d| d.as_secs()))
        };
        assert_eq!(allowed(false, false, None), (10, None));
        assert_eq!(allowed(false, false, Some(3)), (3, None));
        assert_eq!(allowed(false, false, Some(3600)), (60, None));
        assert_eq!(allowed(true, false, None), (900, None));
        assert_eq!(allowed(true, false, Some(3600)), (3600, None));
        assert_eq!(allowed(false, true, None), (10, None));
        assert_eq!(allowed(true, true, Some(3600)), (3600, Some(3600)));
        assert_eq!(Allowed::of(None, None, &limits).start.as_secs(), 10);
    }
}
