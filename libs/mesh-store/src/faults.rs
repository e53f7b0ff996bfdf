//! Which commits go wrong once the head has advanced, so that a test sees what becomes of them?
//!
//! Only with the feature `faults`, which dev-dependencies alone may enable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::StoreError;

/// What happens to a commit between the head's advance and the `COMMIT` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost.
    Fail,
    /// The code panics.
    Panic,
    /// Nothing goes on for so long.
    Stall(Duration),
}

type Plan = Box<dyn Fn(u64) -> Option<Fault> + Send + Sync>;

static PLAN: OnceLock<Plan> = OnceLock::new();
static COMMITS: AtomicU64 = AtomicU64::new(0);

/// From now on, in all stores of this process, commits go as `plan` says, which is given their
/// numbers. The first plan of a process stays.
pub fn inject(plan: impl Fn(u64) -> Option<Fault> + Send + Sync + 'static) {
    let _ = PLAN.set(Box::new(plan));
}

/// The head of a log has advanced in a transaction that is about to be committed.
pub(crate) async fn strike() -> Result<(), StoreError> {
    let number = COMMITS.fetch_add(1, Ordering::Relaxed);
    match PLAN.get().and_then(|plan| plan(number)) {
        None => Ok(()),
        Some(Fault::Fail) => Err(StoreError::Unavailable(Arc::new(
            sqlx::Error::WorkerCrashed,
        ))),
        Some(Fault::Panic) => panic!("a panic that a test asked for"),
        Some(Fault::Stall(pause)) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
    }
}
