//! Closing and restating months as they become due.

use std::sync::Arc;

use mesh_store::StoreError;
use mesh_types::Clock;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::edition::Grace;
use crate::store::ReportStore;

/// Makes the editions that are due, each time that more is `settled`, until `stop` is cancelled. One that is
/// left half made is made at the next time.
pub(crate) async fn close_months(
    store: ReportStore,
    clock: Arc<dyn Clock>,
    grace: Grace,
    settled: Arc<Notify>,
    stop: CancellationToken,
) {
    let made = opentelemetry::global::meter("reporting")
        .u64_counter("mp169.reporting.closings")
        .with_unit("{closing}")
        .with_description(
            "Months that were closed or restated by themselves, and attempts that failed",
        )
        .build();
    for outcome in ["made", "failed"] {
        count(&made, 0, outcome);
    }
    let close = async {
        loop {
            settled.notified().await;
            match store.close_due_months(clock.now(), grace).await {
                Ok(editions) => {
                    for edition in &editions {
                        let (month, zone) = (edition.period.month, edition.period.zone.name());
                        let (restatement, sha256) = (edition.restatement, &edition.sealed.sha256);
                        tracing::info!(%month, zone, restatement, sha256, "a month is closed");
                    }
                    count(&made, editions.len() as u64, "made");
                }
                Err(error) => {
                    failed(&error);
                    count(&made, 1, "failed");
                }
            }
        }
    };
    stop.run_until_cancelled(close).await;
}

fn count(made: &Counter<u64>, closings: u64, outcome: &'static str) {
    made.add(closings, &[KeyValue::new("outcome", outcome)]);
}

/// It is tried again with the next checkpoint of the log `flags`.
fn failed(error: &StoreError) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, source, "the months that are due cannot be closed");
}
