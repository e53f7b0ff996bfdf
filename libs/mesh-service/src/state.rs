//! When does a running service compare its rows with its log?

use std::time::Duration;

use mesh_store::fold::{self, Folding};
use mesh_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

/// Once at the start, and daily.
const INTERVAL: Duration = Duration::from_hours(24);

/// Between two pages: a comparison takes a small part of one core, and its time. 20 million Devices
/// with one event each are 80,000 pages, which is half an hour of pauses.
const PAUSE: Duration = Duration::from_millis(20);

/// Compares what `begin` begins, at once and then daily, until `stop` is cancelled. What does not fit
/// ends the writes, and with them health.
pub(crate) async fn watch_state<B, F>(
    store: Store,
    begin: impl Fn() -> B + Send,
    stop: CancellationToken,
) where
    B: Future<Output = Result<Vec<F>, StoreError>> + Send,
    F: Folding,
{
    let daily = async {
        loop {
            if let Err(error) = compare(&store, begin().await).await {
                tracing::error!(%error, "the state cannot be compared with the log");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    stop.run_until_cancelled(daily).await;
}

async fn compare<F: Folding>(
    store: &Store,
    begun: Result<Vec<F>, StoreError>,
) -> Result<(), StoreError> {
    for folding in begun? {
        let folded = fold::compare(store, folding, PAUSE).await?;
        tracing::info!(
            log = folded.log,
            up_to = folded.up_to,
            rows = folded.fit,
            sound = folded.is_sound(),
            "the state was compared with the log"
        );
    }
    Ok(())
}
