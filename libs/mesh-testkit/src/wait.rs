//! How does a test wait for something that happens elsewhere?

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// How long [`wait_until`] waits at most. Long, because it only passes when something is broken.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often the condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives `Ok`, whose value is returned.
///
/// `Err` describes the state as it is now; the last one is in the message if `what` has not come
/// true within [`LIMIT`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mesh_testkit::wait_until;
///
/// let mut seen = 0;
/// let third = wait_until("three looks", async || {
///     seen += 1;
///     if seen == 3 { Ok(seen) } else { Err(format!("{seen} so far")) }
/// })
/// .await;
/// assert_eq!(third, 3);
/// # }
/// ```
///
/// # Panics
/// If the condition has not come true within [`LIMIT`].
pub async fn wait_until<T, S: Display>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(state) => assert!(
                Instant::now() < end,
                "waited {LIMIT:?} for {what}; last seen: {state}"
            ),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
