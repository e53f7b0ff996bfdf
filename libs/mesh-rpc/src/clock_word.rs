//! How do the services know each other's clocks?
//!
//! A call carries the caller's time if its clock is watched, and the answer to one of the mesh's own
//! services the time of whoever answers, as metadata [`TIME`]: microseconds since 1970, and `;vouched`
//! behind them if the sender has reason to believe them. Only the word of these services is taken, by
//! the identity in their certificates; other systems keep time for themselves:
//! `docs/adr/2026-11-28-a-clock-ahead-is-not-believed.md`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use mesh_authz::Identity;
use mesh_types::watch::Word;
use mesh_types::{Clock, Timestamp};
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::rpc::{CallFuture, RpcFuture};

/// The metadata key.
pub const TIME: &str = "mp169-time";

/// Follows a time that its sender has reason to believe.
const VOUCHED: &str = ";vouched";
/// How long a call may have been on its way: its caller gives up about then.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// What `clock` shows, as metadata.
fn write(clock: &dyn Clock) -> Option<HeaderValue> {
    let now = clock.now();
    let vouches = clock.watch().is_some_and(|watch| watch.judge(now).vouches);
    let vouched = if vouches { VOUCHED } else { "" };
    let mut value = HeaderValue::try_from(format!("{}{vouched}", now.micros())).ok()?;
    // It is never sent twice: the compression of headers should not keep it in place of one that is.
    value.set_sensitive(true);
    Some(value)
}

/// A time, and whether its sender has reason to believe it; `None` if it is no time.
fn read(headers: &HeaderMap) -> Option<(Timestamp, bool)> {
    let text = headers.get(TIME)?.to_str().ok()?;
    let (micros, vouched) = text
        .strip_suffix(VOUCHED)
        .map_or((text, false), |micros| (micros, true));
    let micros: i64 = micros.parse().ok()?;
    (micros >= 0).then_some((Timestamp::from_micros(micros), vouched))
}

fn set(headers: &mut HeaderMap, clock: &dyn Clock) {
    if let Some(time) = write(clock) {
        headers.insert(TIME, time);
    }
}

/// Takes the time that came with a call, if a service of the mesh made it.
pub(crate) fn hear_caller(clock: &dyn Clock, caller: Option<Identity>, headers: &HeaderMap) {
    let (Some(watch), Some(Identity::Internal(role))) = (clock.watch(), caller) else {
        return;
    };
    if let Some((time, vouches)) = read(headers).filter(|_| role.is_service()) {
        let word = Word {
            time,
            at: watch.elapsed(),
            uncertainty: ON_ITS_WAY,
            vouches,
        };
        watch.hear(role.as_str(), word);
    }
}

/// The answer with our time.
pub(crate) fn answered(clock: Arc<dyn Clock>, answer: RpcFuture) -> RpcFuture {
    Box::pin(async move {
        let mut response = answer.await?;
        set(response.headers_mut(), &*clock);
        Ok(response)
    })
}

/// A client that tells its time and takes that of the service which it calls.
#[derive(Debug, Clone)]
pub(crate) struct ClientClock<S> {
    inner: S,
    service: &'static str,
    clock: Arc<dyn Clock>,
}

impl<S> ClientClock<S> {
    pub(crate) const fn new(inner: S, service: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            service,
            clock,
        }
    }
}

impl<S> Service<Request<Body>> for ClientClock<S>
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
        if self.clock.watch().is_some() {
            set(request.headers_mut(), &*self.clock);
        }
        let (service, clock) = (self.service, self.clock.clone());
        let asked = clock.watch().map(mesh_types::ClockWatch::elapsed);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let (Some(watch), Some(asked)) = (clock.watch(), asked)
                && let Some((time, vouches)) = read(response.headers())
            {
                let half = watch.elapsed().saturating_sub(asked) / 2;
                let word = Word {
                    time,
                    at: asked + half,
                    uncertainty: half,
                    vouches,
                };
                watch.hear(service, word);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::ManualClock;

    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written_and_nothing_else_is_one() {
        let clock = ManualClock::new(Timestamp::from_micros(1_795_900_000_000_000));
        let mut headers = HeaderMap::new();
        set(&mut headers, &clock);
        assert_eq!(read(&headers), Some((clock.now(), false)));
        for (text, expected) in [
            ("7;vouched", Some((Timestamp::from_micros(7), true))),
            ("-7", None),
            ("7;", None),
            ("7;vouched;vouched", None),
            ("2026-11-28T00:00:00Z", None),
            ("9223372036854775808", None),
            ("", None),
        ] {
            headers.insert(TIME, text.parse().unwrap());
            assert_eq!(read(&headers), expected, "{text}");
        }
    }
}
