//! How much may one caller ask for?
//!
//! One party's loop must not be another party's outage. The caller is known by its certificate;
//! those without one share a budget. Nothing here grows with the number of requests.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::Request;
use mesh_api::common::v1::ErrorReason;
use mesh_authz::Identity;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::limits::{HEALTH_CHECK, hold};
use crate::methods::Methods;
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::shed;

/// When a caller with too many open calls should come back. Calls take milliseconds.
const CALL_RETRY_AFTER: Duration = Duration::from_millis(500);

/// When a caller with too many streams should come back: streams are long.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Callers whose rate is remembered at a time. Beyond it, those who have been quiet are forgotten.
const REMEMBERED_CALLERS: usize = 4096;

/// What one caller may ask for. The defaults only stop what has gone wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// Calls per second that a caller may make for ever.
    pub calls_per_second: NonZeroU32,
    /// Calls that a caller may make at once after a pause.
    pub burst: NonZeroU32,
    /// Unary calls that a caller may have open at a time: fewer than the server takes on, so that
    /// nobody can take every place with calls that never end.
    pub calls: usize,
    /// Streaming calls that a caller may have open at a time.
    pub streams: usize,
    /// Connections that a caller may have open at a time; a further one is closed.
    pub connections: usize,
}

impl Default for CallerLimits {
    fn default() -> Self {
        // More than a server of some cores can answer: to the mesh the DSP is one caller, and what it
        // asks for is the whole country's traffic. Who takes too many places is held by `calls`.
        const CALLS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
        Self {
            calls_per_second: CALLS,
            burst: CALLS,
            calls: 768,
            streams: 256,
            connections: 256,
        }
    }
}

/// Keeps each caller within its [`CallerLimits`].
#[derive(Debug, Clone)]
pub(crate) struct CallerLimitsLayer(Arc<Budgets>);

/// The service of [`CallerLimitsLayer`].
#[derive(Debug, Clone)]
pub(crate) struct LimitCallers<S> {
    inner: S,
    budgets: Arc<Budgets>,
}

/// `None` stands for everyone without a certificate.
pub(crate) type Caller = Option<Identity>;

#[derive(Debug)]
struct Budgets {
    rate: DefaultKeyedRateLimiter<Caller>,
    calls: Arc<Open>,
    streams: Arc<Open>,
}

/// Calls of one kind, or connections, that are open now, by caller; those who have none open are
/// not in it.
#[derive(Debug)]
pub(crate) struct Open {
    limit: usize,
    counts: Mutex<HashMap<Caller, usize>>,
}

// === impl CallerLimitsLayer ===

impl CallerLimitsLayer {
    /// One budget per caller, shared by all connections of a server.
    pub(crate) fn new(limits: &CallerLimits) -> Self {
        let quota = Quota::per_second(limits.calls_per_second).allow_burst(limits.burst);
        Self(Arc::new(Budgets {
            rate: RateLimiter::keyed(quota),
            calls: Open::new(limits.calls),
            streams: Open::new(limits.streams),
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

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let path = request.uri().path();
        if path == HEALTH_CHECK {
            return Box::pin(self.inner.call(request));
        }
        let caller = request.extensions().get::<Identity>().copied();
        if let Err(wait) = self.budgets.spend(caller) {
            let message = "the caller makes more calls per second than it may";
            return answer(shed(ErrorReason::CallerLimit, message, wait));
        }
        let streaming = Methods::of_mesh()
            .get(path)
            .is_some_and(|method| method.client_streaming || method.server_streaming);
        let (open, message, retry_after) = if streaming {
            let message = "the caller has more streams open than it may";
            (&self.budgets.streams, message, STREAM_RETRY_AFTER)
        } else {
            let message = "the caller has more calls open than it may";
            (&self.budgets.calls, message, CALL_RETRY_AFTER)
        };
        let Some(place) = Place::take(open, caller) else {
            return answer(shed(ErrorReason::CallerLimit, message, retry_after));
        };
        let pending = self.inner.call(request);
        Box::pin(async move { Ok(hold(pending.await?, place)) })
    }
}

impl Budgets {
    /// Takes one call from the caller's rate, or says how long to wait for the next.
    fn spend(&self, caller: Caller) -> Result<(), Duration> {
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

/// One open call or connection of a caller; gives its place back when dropped.
pub(crate) struct Place {
    open: Arc<Open>,
    caller: Caller,
}

impl Place {
    pub(crate) fn take(open: &Arc<Open>, caller: Caller) -> Option<Self> {
        let mut counts = open.lock();
        let count = counts.get(&caller).copied().unwrap_or(0);
        if count >= open.limit {
            return None;
        }
        counts.insert(caller, count + 1);
        Some(Self {
            open: open.clone(),
            caller,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.lock();
        match counts.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.caller);
            }
        }
    }
}

impl Open {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            counts: Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Caller, usize>> {
        // Counts stay right even if a holder of the lock panicked between two statements.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::{EntityId, Eui64};

    use super::*;

    fn organisation(number: u64) -> Caller {
        let entity = EntityId::new(Eui64::from_u64(number));
        Some(Identity::Organisation(entity))
    }

    fn budgets(calls: u32) -> Arc<Budgets> {
        let calls = NonZeroU32::new(calls).unwrap();
        let limits = CallerLimits {
            calls_per_second: calls,
            burst: calls,
            ..CallerLimits::default()
        };
        CallerLimitsLayer::new(&limits).0
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

    #[test]
    fn a_call_gives_its_place_back() {
        let open = Open::new(2);
        let first = Place::take(&open, organisation(1)).unwrap();
        let second = Place::take(&open, organisation(1)).unwrap();
        assert!(Place::take(&open, organisation(1)).is_none());
        assert!(Place::take(&open, None).is_some(), "given back at once");
        drop(first);
        let third = Place::take(&open, organisation(1)).unwrap();
        drop((second, third));
        assert!(open.lock().is_empty(), "nothing is left behind");
    }
}
