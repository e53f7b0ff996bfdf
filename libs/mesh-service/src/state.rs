//! How does a running service compare its rows with its log: daily, and when somebody asks?

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use mesh_store::fold::{self, Folded, Folding};
use mesh_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

/// Once at the start, and daily.
const INTERVAL: Duration = Duration::from_hours(24);

/// Between two pages: a comparison takes a small part of one core, and its time. 20 million Devices
/// with one event each are 80,000 pages, which is half an hour of pauses.
const PAUSE: Duration = Duration::from_millis(20);

/// The comparisons of a service's rows with its logs, begun anew by each call, with a pause after each
/// page. A table is compared when the stream is asked for it.
pub(crate) type Compare =
    Arc<dyn Fn(Duration) -> BoxStream<'static, Result<Folded, StoreError>> + Send + Sync>;

/// Of what `begin` begins. What does not fit ends the writes, and with them health.
pub(crate) fn comparing<B, F>(
    store: Store,
    begin: impl Fn() -> B + Send + Sync + 'static,
) -> Compare
where
    B: Future<Output = Result<Vec<F>, StoreError>> + Send + 'static,
    F: Folding + 'static,
{
    Arc::new(move |pause| {
        let store = store.clone();
        let begun = stream::once(begin()).map_ok(move |foldings| {
            let store = store.clone();
            stream::iter(foldings).then(move |folding| {
                let store = store.clone();
                async move { fold::compare(&store, folding, pause).await }
            })
        });
        begun.try_flatten().boxed()
    })
}

/// Compares at once and then daily, until `stop` is cancelled.
pub(crate) async fn watch_state(compare: Compare, stop: CancellationToken) {
    let daily = async {
        loop {
            let mut compared = compare(PAUSE);
            while let Some(folded) = compared.next().await {
                tell(&folded);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    stop.run_until_cancelled(daily).await;
}

fn tell(folded: &Result<Folded, StoreError>) {
    match folded {
        Ok(folded) => tracing::info!(
            log = folded.log,
            up_to = folded.up_to,
            rows = folded.fit,
            sound = folded.is_sound(),
            "the state was compared with the log"
        ),
        Err(error) => tracing::error!(%error, "the state cannot be compared with the log"),
    }
}
