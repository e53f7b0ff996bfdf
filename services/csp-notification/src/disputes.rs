//! What does an operator learn of CSPs whose logs lack what they have seen?
//!
//! Each is refused alone (`grpc.rs`, `store/batch.rs`), so that the service goes on serving. It is told here:
//! a line in the log when it begins and when it ends, and a metric meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_store::dispute::Dispute;
use mesh_store::{Store, StoreError};
use opentelemetry::metrics::{Gauge, Meter};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::disputes;

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
        let gauge = meter
            .u64_gauge("mp169.csp.logs_went_back")
            .with_description("CSPs that have seen events which their logs lack")
            .build();
        let mut told = BTreeMap::new();
        let telling = async {
            loop {
                if let Err(error) = tell(&store, &gauge, &mut told).await {
                    tracing::error!(%error, "it cannot be read what CSPs dispute");
                }
                self.0.notified().await;
            }
        };
        stop.run_until_cancelled(telling).await;
    }
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
