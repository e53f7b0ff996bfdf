//! What does an operator learn of CSPs whose logs lack what they have seen?
//!
//! Each is refused alone (`grpc.rs`, `store/batch.rs`), so that the service goes on serving. It is told here:
//! a line in the log when it begins and when it ends, and a metric meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_store::dispute::Dispute;
use mesh_store::{Store, StoreError};
use opentelemetry::metrics::{Gauge, Meter};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::disputes;

/// After this time the database is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(3);

/// Wakes when a CSP has disputed its log or taken that back. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disputes(Arc<Notify>);

impl Disputes {
    /// What is disputed has changed.
    pub(crate) fn changed(&self) {
        self.0.notify_one();
    }

    /// Tells it, from the start of the service on, until `stop` is cancelled.
    pub(crate) async fn watch(self, store: Store, meter: Meter, stop: CancellationToken) {
        let gauge = gauge(&meter);
        let mut told = BTreeMap::new();
        let telling = async {
            loop {
                let Err(error) = tell(&store, &gauge, &mut told).await else {
                    self.0.notified().await;
                    continue;
                };
                tracing::error!(%error, "it cannot be read what CSPs dispute");
                let _ = tokio::time::timeout(AGAIN, self.0.notified()).await;
            }
        };
        stop.run_until_cancelled(telling).await;
    }
}

fn gauge(meter: &Meter) -> Gauge<u64> {
    meter
        .u64_gauge("mp169.csp.logs_went_back")
        .with_unit("{csp}")
        .with_description("CSPs that have seen events which their logs lack")
        .build()
}

async fn tell(
    store: &Store,
    gauge: &Gauge<u64>,
    told: &mut BTreeMap<String, Dispute>,
) -> Result<(), StoreError> {
    let now = disputes(store).await?;
    gauge.record(now.len() as u64, &[]);
    let now: BTreeMap<_, _> = now
        .into_iter()
        .map(|dispute| (dispute.by.clone(), dispute))
        .collect();
    for (csp, dispute) in &now {
        if !told.contains_key(csp) {
            tracing::error!(
                csp,
                seen = %dispute.seen.position,
                since = dispute.since.micros(),
                "a CSP has seen an event that its log lacks: nothing is sent to it until the right \
                 database is back, or the loss is accepted"
            );
        }
    }
    for csp in told.keys().filter(|csp| !now.contains_key(*csp)) {
        tracing::info!(csp, "the log of a CSP has what it has seen");
    }
    *told = now;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mesh_store::cursor::Cursor;
    use mesh_store::{Database, dispute, log};
    use mesh_types::Timestamp;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;
    use crate::store::MIGRATIONS;
    use crate::subscription::log_of;

    #[tokio::test]
    async fn a_metric_shows_how_many_logs_went_back() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let shown = || {
            exporter.reset();
            provider.force_flush().unwrap();
            let finished = exporter.get_finished_metrics().unwrap();
            let scopes = finished.iter().flat_map(|all| all.scope_metrics());
            let metric = scopes.flat_map(|scope| scope.metrics()).next().unwrap();
            assert_eq!(metric.name(), "mp169.csp.logs_went_back");
            let AggregatedMetrics::U64(MetricData::Gauge(gauge)) = metric.data() else {
                panic!("no gauge");
            };
            gauge.data_points().next().unwrap().value()
        };
        let gauge = gauge(&provider.meter("tests"));
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("csp.db").display());
        let database = Database::existing_or_new(&url);
        let store = Store::open(&database, &MIGRATIONS).await.unwrap();
        let log = log_of(&"north".parse().unwrap());
        let mut told = BTreeMap::new();
        for (ahead, expected) in [(0, 0), (7, 1), (9, 1), (0, 0)] {
            let at = Timestamp::from_micros(1);
            let mut tx = store.begin_write(at).await.unwrap();
            tx.create_log(&log, log::random_epoch()).await.unwrap();
            tx.lock(&log).await.unwrap();
            let mut seen = Cursor::from(tx.head(&log).unwrap());
            seen.position.sequence += ahead;
            dispute::hear(&mut tx, &seen, "north").await.unwrap();
            tx.commit().await.unwrap();
            tell(&store, &gauge, &mut told).await.unwrap();
            assert_eq!(shown(), expected);
        }
    }
}
