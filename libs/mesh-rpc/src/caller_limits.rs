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

use crate::limits::hold;
use crate::methods::Methods;
use crate::rpc::{Rpc, RpcFuture, answer};
use crate::status::shed;

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
    /// Streaming calls that a caller may have open at a time.
    pub streams: usize,
}

impl Default for CallerLimits {
    fn default() -> Self {
        const CALLS: NonZeroU32 = NonZeroU32::new(20_000).expect("not zero");
        Self {
            calls_per_second: CALLS,
            burst: CALLS,
            streams: 256,
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
type Caller = Option<Identity>;

#[derive(Debug)]
struct Budgets {
    rate: DefaultKeyedRateLimiter<Caller>,
    streams: Streams,
}

#[derive(Debug)]
struct Streams {
    limit: usize,
    open: Mutex<HashMap<Caller, usize>>,
}

// === impl CallerLimitsLayer ===

impl CallerLimitsLayer {
    /// One budget per caller, shared by all connections of a server.
    pub(crate) fn new(limits: &CallerLimits) -> Self {
        let quota = Quota::per_second(limits.calls_per_second).allow_burst(limits.burst);
        Self(Arc::new(Budgets {
            rate: RateLimiter::keyed(quota),
            streams: Streams {
                limit: limits.streams,
                open: Mutex::default(),
            },
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
        let caller = request.extensions().get::<Identity>().copied();
        if let Err(wait) = self.budgets.spend(caller) {
            let message = "the caller makes more calls per second than it may";
            return answer(shed(ErrorReason::CallerLimit, message, wait));
        }
        let streaming = Methods::of_mesh()
            .get(request.uri().path())
            .is_some_and(|method| method.client_streaming || method.server_streaming);
        if !streaming {
            return Box::pin(self.inner.call(request));
        }
        let Some(place) = OpenStream::new(&self.budgets, caller) else {
            let message = "the caller has more streams open than it may";
            return answer(shed(ErrorReason::CallerLimit, message, STREAM_RETRY_AFTER));
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

/// One open stream of a caller; gives its place back when dropped.
struct OpenStream {
    budgets: Arc<Budgets>,
    caller: Caller,
}

impl OpenStream {
    fn new(budgets: &Arc<Budgets>, caller: Caller) -> Option<Self> {
        let mut open = budgets.streams.lock();
        let count = open.get(&caller).copied().unwrap_or(0);
        if count >= budgets.streams.limit {
            return None;
        }
        open.insert(caller, count + 1);
        Some(Self {
            budgets: budgets.clone(),
            caller,
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.budgets.streams.lock();
        match open.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.caller);
            }
        }
    }
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Caller, usize>> {
        // Counts stay right even if a holder of the lock panicked between two statements.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn budgets(calls: u32, streams: usize) -> Arc<Budgets> {
        let calls = NonZeroU32::new(calls).unwrap();
        let limits = CallerLimits {
            calls_per_second: calls,
            burst: calls,
            streams,
        };
        CallerLimitsLayer::new(&limits).0
    }

    #[test]
    fn one_callers_rate_is_not_anothers() {
        let budgets = budgets(2, 1);
        assert_eq!(budgets.spend(organisation(1)), Ok(()));
        assert_eq!(budgets.spend(organisation(1)), Ok(()));
        let wait = budgets.spend(organisation(1)).unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(budgets.spend(organisation(2)), Ok(()));
        assert_eq!(budgets.spend(None), Ok(()));
    }

    #[test]
    fn quiet_callers_are_forgotten() {
        let budgets = budgets(1_000_000, 1);
        for number in 0..10 * REMEMBERED_CALLERS {
            let number = u64::try_from(number).unwrap();
            assert_eq!(budgets.spend(organisation(number)), Ok(()));
        }
        assert!(budgets.rate.len() <= REMEMBERED_CALLERS + 1);
    }

    #[test]
    fn a_stream_gives_its_place_back() {
        let budgets = budgets(1, 2);
        let first = OpenStream::new(&budgets, organisation(1)).unwrap();
        let second = OpenStream::new(&budgets, organisation(1)).unwrap();
        assert!(OpenStream::new(&budgets, organisation(1)).is_none());
        assert!(
            OpenStream::new(&budgets, None).is_some(),
            "given back at once"
        );
        drop(first);
        let third = OpenStream::new(&budgets, organisation(1)).unwrap();
        drop((second, third));
        assert!(budgets.streams.lock().is_empty(), "nothing is left behind");
    }
}
