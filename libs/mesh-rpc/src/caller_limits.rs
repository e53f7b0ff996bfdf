//! How much may one caller ask for, and when is it its turn?
//!
//! One party's loop must not be another party's outage. The caller is known by its certificate;
//! those without one share a rate. Nothing here grows with the number of requests, but for those that
//! wait, and each of them has a place among its caller's open calls.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use mesh_api::common::v1::ErrorReason;
use mesh_authz::Identity;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::limits::{Caller, Place, Shares, hold, is_health_check};
use crate::methods::{Method, Methods};
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::shed;
use crate::turns::{Turn, Turns};
use crate::waiting::Arrivals;

/// Callers whose rate is remembered at a time. Beyond it, those who have been quiet are forgotten.
const REMEMBERED_CALLERS: usize = 4096;

/// How often one caller may ask. The defaults only stop what has gone wrong; how much it may have open
/// and in service at a time stands in [`Shares`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// Calls per second that a caller may make for ever.
    pub calls_per_second: NonZeroU32,
    /// Calls that a caller may make at once after a pause.
    pub burst: NonZeroU32,
}

impl Default for CallerLimits {
    fn default() -> Self {
        // More than a server of some cores can answer: to the mesh the DSP is one caller, and what it
        // asks for is the whole country's traffic. Who asks for too much waits for its turn.
        const CALLS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
        Self {
            calls_per_second: CALLS,
            burst: CALLS,
        }
    }
}

/// Keeps each caller within its [`CallerLimits`], and has callers take turns.
#[derive(Debug, Clone)]
pub(crate) struct CallerLimitsLayer(Arc<Budgets>);

/// The service of [`CallerLimitsLayer`].
#[derive(Debug, Clone)]
pub(crate) struct LimitCallers<S> {
    inner: S,
    budgets: Arc<Budgets>,
}

#[derive(Debug)]
struct Budgets {
    /// `None` stands for everyone without a certificate.
    rate: DefaultKeyedRateLimiter<Option<Identity>>,
    arrivals: Arrivals,
    turns: Turns,
}

// === impl CallerLimitsLayer ===

impl CallerLimitsLayer {
    /// One budget per caller, shared by all connections of a server.
    pub(crate) fn new(limits: &CallerLimits, shares: &Shares) -> Self {
        let quota = Quota::per_second(limits.calls_per_second).allow_burst(limits.burst);
        Self(Arc::new(Budgets {
            rate: RateLimiter::keyed(quota),
            arrivals: Arrivals::new(shares),
            turns: Turns::new(shares),
        }))
    }
}

impl<S> Layer<S> for CallerLimitsLayer {
    type Service = LimitCallers<S>;

    fn layer(&self, inner: S) -> LimitCallers<S> {
        LimitCallers {
            inner,
            budgets: self.0.clone(),
        }
    }
}

// === impl LimitCallers ===

impl<S: Rpc> Service<Request<Body>> for LimitCallers<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> RpcFuture {
        let path = request.uri().path();
        if is_health_check(path) {
            return Box::pin(self.inner.call(request));
        }
        let identity = request.extensions().get::<Identity>().copied();
        if let Err(wait) = self.budgets.spend(identity) {
            let message = "the caller makes more calls per second than it may";
            return answer(shed(ErrorReason::CallerLimit, message, wait));
        }
        // What the mesh does not offer, and whoever shows no certificate, is refused unread.
        let (Some(method), Some(identity)) = (Methods::of_mesh().get(path), identity) else {
            return Box::pin(self.inner.call(request));
        };
        if method.client_streaming || method.server_streaming {
            let work = self.budgets.turns.of(identity);
            request.extensions_mut().insert(work);
        }
        if method.client_streaming {
            return Box::pin(self.inner.call(request));
        }
        // The service that was made ready takes the call; the fresh clone waits for the next one.
        let fresh = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, fresh);
        let budgets = Arc::clone(&self.budgets);
        Box::pin(in_turn(budgets, inner, request, method, identity))
    }
}

/// As long as a request counts for its caller.
type Counted = (Turn, Place);

/// Calls `inner` when the request is whole and its turn has come.
///
/// An RPC that takes large requests is open to roles alone, so the authorization layer judges the caller
/// without the request. There it is taken in only when the handler asks for it: of one who may not
/// call, nothing is held.
async fn in_turn<S: Rpc>(
    budgets: Arc<Budgets>,
    mut inner: S,
    request: Request<Body>,
    method: &'static Method,
    identity: Identity,
) -> Result<S::Response, S::Error> {
    let (parts, body) = request.into_parts();
    let whole = whole_in_turn(budgets, body, method, identity);
    let (response, (mut turn, octets)) = if method.request_octets.is_some() {
        let (body, mut told) = when_asked_for(whole);
        let response = inner.call(Request::from_parts(parts, body)).await?;
        match told.try_recv() {
            Ok(Ok(counted)) => (response, counted),
            Ok(Err(refusal)) => return Ok(refusal),
            // Nobody asked for it.
            Err(_) => return Ok(response),
        }
    } else {
        match whole.await {
            Ok((octets, counted)) => {
                let body = Body::new(Full::new(octets));
                let response = inner.call(Request::from_parts(parts, body)).await?;
                (response, counted)
            }
            Err(refusal) => return Ok(refusal),
        }
    };
    drop(octets);
    if method.server_streaming {
        // What the stream then does is counted item by item.
        return Ok(response);
    }
    turn.answered();
    Ok(hold(response, turn))
}

/// The whole request, when its turn has come; or the refusal.
async fn whole_in_turn(
    budgets: Arc<Budgets>,
    body: Body,
    method: &'static Method,
    identity: Identity,
) -> Result<(Bytes, Counted), Response<Body>> {
    let arrived = budgets.arrivals.whole(body, Caller::Known(identity));
    let arrived = arrived.await?;
    let items = method.cost.items(arrived.message());
    let turn = budgets.turns.of(identity).turn(items).await;
    Ok((arrived.octets, (turn, arrived.place)))
}

/// A body that is `whole` once it is asked for, and what then came of it.
fn when_asked_for(
    whole: impl Future<Output = Result<(Bytes, Counted), Response<Body>>> + Send + 'static,
) -> (Body, oneshot::Receiver<Result<Counted, Response<Body>>>) {
    let (tell, told) = oneshot::channel();
    let frame = async {
        // Telling fails if the call has ended: then nothing counts any more.
        match whole.await {
            Ok((octets, counted)) => {
                let _ = tell.send(Ok(counted));
                Ok(Frame::data(octets))
            }
            Err(refusal) => {
                let _ = tell.send(Err(refusal));
                Err(Status::cancelled("the request was refused"))
            }
        }
    };
    (Body::new(StreamBody::new(stream::once(frame))), told)
}

impl Budgets {
    /// Takes one call from the caller's rate, or says how long to wait for the next.
    fn spend(&self, caller: Option<Identity>) -> Result<(), Duration> {
        if self.rate.len() > REMEMBERED_CALLERS {
            self.rate.retain_recent();
        }
        self.rate.check_key(&caller).map_err(|until| {
            // At least a millisecond: zero would read as "now".
            until
                .wait_time_from(DefaultClock::default().now())
                .max(Duration::from_millis(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::{EntityId, Eui64};

    use super::*;

    fn organisation(number: u64) -> Option<Identity> {
        let entity = EntityId::new(Eui64::from_u64(number));
        Some(Identity::Organisation(entity))
    }

    fn budgets(calls: u32) -> Arc<Budgets> {
        let calls = NonZeroU32::new(calls).unwrap();
        let limits = CallerLimits {
            calls_per_second: calls,
            burst: calls,
        };
        CallerLimitsLayer::new(&limits, &Shares::default()).0
    }

    #[test]
    fn one_callers_rate_is_not_anothers() {
        let budgets = budgets(2);
        assert_eq!(budgets.spend(organisation(1)), Ok(()));
        assert_eq!(budgets.spend(organisation(1)), Ok(()));
        let wait = budgets.spend(organisation(1)).unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(budgets.spend(organisation(2)), Ok(()));
        assert_eq!(budgets.spend(None), Ok(()));
    }

    #[test]
    fn quiet_callers_are_forgotten() {
        let budgets = budgets(1_000_000);
        for number in 0..10 * REMEMBERED_CALLERS {
            let number = u64::try_from(number).unwrap();
            assert_eq!(budgets.spend(organisation(number)), Ok(()));
        }
        assert!(budgets.rate.len() <= REMEMBERED_CALLERS + 1);
    }
}
