//! When is a call tried again?
//!
//! Only if trying twice is as good as once, only when the server says that it did not or could not
//! serve it, not more often than a budget allows, and never past the deadline of the call that is
//! being served.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::limits::remaining;

/// How a server says after how many milliseconds to try again; anything but a number means never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How often, and after which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// Upper bound of the first pause; it doubles with each attempt.
    pub first_pause: Duration,
    /// Upper bound of every pause.
    pub longest_pause: Duration,
    /// If the server says to come back later than this, the caller is told instead: a quota that has
    /// room again tomorrow is nothing to wait for.
    pub longest_pushback: Duration,
    /// No attempt begins after so long, unless the server says to come back: whoever was not reached for
    /// seconds is hardly reached by the next attempt, and the caller waits.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            longest_pushback: Duration::from_secs(10),
            patience: Duration::from_secs(5),
        }
    }
}

/// Tries calls to one service again. One per channel, shared by its callers: the budget (10 per
/// second, and a fifth of all calls) keeps a service that struggles from drowning in retries.
pub struct Retry {
    policy: RetryPolicy,
    budget: TpsBudget,
}

impl Retry {
    /// With a full budget.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
        }
    }

    /// Makes a call, and again as the policy has it. The last error is returned.
    ///
    /// The call must be idempotent: a read, or a write whose request id is the same in every
    /// attempt.
    ///
    /// # Errors
    /// What the last attempt came to.
    pub async fn idempotent<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.budget.deposit();
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let status = match call().await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let Some(pause) = self.pause_after(&status, attempt, begun.elapsed()) else {
                return Err(status);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// How long to wait before the next attempt; `None` if there is none.
    fn pause_after(&self, status: &Status, attempt: u32, passed: Duration) -> Option<Duration> {
        if attempt >= self.policy.attempts {
            return None;
        }
        let pause = match (status.code(), pushback(status)) {
            (Code::Unavailable | Code::ResourceExhausted, Pushback::After(pause))
                if pause <= self.policy.longest_pushback =>
            {
                pause
            }
            (Code::Unavailable, Pushback::None) if passed < self.policy.patience => {
                self.jittered(attempt)
            }
            _ => return None,
        };
        if remaining().is_some_and(|left| left <= pause) || !self.budget.withdraw() {
            return None;
        }
        Some(pause)
    }

    /// Anything from nothing to the bound, so that clients do not come back in step.
    fn jittered(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt - 1);
        let bound = self.policy.first_pause.saturating_mul(doubled);
        bound
            .min(self.policy.longest_pause)
            .mul_f64(rand::random::<f64>())
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(RetryPolicy::default())
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

enum Pushback {
    None,
    After(Duration),
    Never,
}

fn pushback(status: &Status) -> Pushback {
    let Some(value) = status.metadata().get(PUSHBACK) else {
        return Pushback::None;
    };
    let millis = value.to_str().ok().and_then(|text| text.parse().ok());
    millis.map_or(Pushback::Never, |millis| {
        Pushback::After(Duration::from_millis(millis))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls with these answers in turn, then successes; gives result, attempts and time passed.
    async fn play(answers: Vec<Status>) -> (Result<(), Code>, usize, Duration) {
        let retry = Retry::default();
        let mut answers = answers.into_iter();
        let mut attempts = 0;
        let start = Instant::now();
        let result = retry
            .idempotent(async || {
                attempts += 1;
                answers.next().map_or(Ok(()), Err)
            })
            .await;
        (
            result.map_err(|status| status.code()),
            attempts,
            start.elapsed(),
        )
    }

    fn pushed_back(mut status: Status, value: &'static str) -> Status {
        status
            .metadata_mut()
            .insert(PUSHBACK, value.parse().unwrap());
        status
    }

    #[tokio::test(start_paused = true)]
    async fn only_unavailable_is_tried_again_without_being_told() {
        let down = || Status::unavailable("down");
        let (result, attempts, _) = play(vec![down(), down()]).await;
        assert_eq!((result, attempts), (Ok(()), 3));
        let (result, attempts, _) = play(vec![down(), down(), down(), down()]).await;
        assert_eq!((result, attempts), (Err(Code::Unavailable), 4));
        for code in (1..=16).map(Code::from_i32) {
            if code != Code::Unavailable {
                let (result, attempts, _) = play(vec![Status::new(code, "no")]).await;
                assert_eq!((result, attempts), (Err(code), 1));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_reached_for_seconds_is_not_tried_for_long() {
        let retry = Retry::default();
        let mut attempts = 0;
        let start = Instant::now();
        let result = retry
            .idempotent(async || {
                attempts += 1;
                tokio::time::sleep(Duration::from_secs(4)).await;
                Err::<(), _>(Status::unavailable("the name is not resolved"))
            })
            .await;
        assert_eq!(
            result.map_err(|status| status.code()),
            Err(Code::Unavailable)
        );
        assert_eq!(attempts, 2);
        assert!(start.elapsed() < Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_pushback_is_obeyed() {
        let full = || Status::resource_exhausted("full");
        let (result, attempts, passed) = play(vec![pushed_back(full(), "700")]).await;
        assert_eq!((result, attempts), (Ok(()), 2));
        assert!(passed >= Duration::from_millis(700), "{passed:?}");
        for never in ["-1", "soon"] {
            let (result, attempts, _) = play(vec![pushed_back(full(), never)]).await;
            assert_eq!((result, attempts), (Err(Code::ResourceExhausted), 1));
            let down = pushed_back(Status::unavailable("down"), never);
            let (result, attempts, _) = play(vec![down]).await;
            assert_eq!((result, attempts), (Err(Code::Unavailable), 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_hours() {
        let full = || Status::resource_exhausted("full");
        let (result, attempts, passed) = play(vec![pushed_back(full(), "10800000")]).await;
        assert_eq!((result, attempts), (Err(Code::ResourceExhausted), 1));
        assert_eq!(passed, Duration::ZERO);
        let quota = mesh_api::status::Quota {
            name: "SUPPLIER_REPEATS",
            subject: "ACME",
            size: 10,
            window: Duration::from_hours(24),
        };
        let used_up = mesh_api::status::quota_exhausted("no", &quota, Duration::from_secs(1));
        let (result, attempts, _) = play(vec![used_up]).await;
        assert_eq!((result, attempts), (Err(Code::ResourceExhausted), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends_a_storm() {
        let retry = Retry::default();
        let mut attempts = 0_u32;
        let calls = 1000;
        for _ in 0..calls {
            let result = retry
                .idempotent(async || {
                    attempts += 1;
                    Err::<(), _>(pushed_back(Status::unavailable("down"), "0"))
                })
                .await;
            assert!(result.is_err());
        }
        let retries = attempts - calls;
        assert!((100..=400).contains(&retries), "{retries} retries");
    }
}
