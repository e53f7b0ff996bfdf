//! What do metrics show of a database?

use mesh_store::{Condition, Store, Trouble};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};
use tokio_util::sync::CancellationToken;

/// Shows what troubles the database of `service` as `mp169.storage.trouble`, until `stop` is cancelled.
pub(crate) async fn watch_storage(service: &'static str, store: Store, stop: CancellationToken) {
    let gauge = opentelemetry::global::meter("mesh-service")
        .u64_gauge("mp169.storage.trouble")
        .with_description("1 for the kind of trouble that the database is in, 0 for every other")
        .build();
    let mut condition = store.condition();
    loop {
        show(&gauge, service, &condition.borrow_and_update());
        tokio::select! {
            () = stop.cancelled() => return,
            changed = condition.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Has `meter` tell how long each log is that `service` owns, as far as this process knows.
pub(crate) fn observe_heads(service: &'static str, store: &Store, meter: &Meter) {
    let committed = store.committed().clone();
    meter
        .u64_observable_gauge("mp169.log.head")
        .with_unit("{event}")
        .with_description("Sequence number of the last event of a log, as its owner knows it")
        .with_callback(move |gauge| {
            for (log, latest) in committed.all() {
                let labels = [
                    KeyValue::new("mp169.service", service),
                    KeyValue::new("log", log.to_string()),
                ];
                gauge.observe(latest, &labels);
            }
        })
        .build();
}

fn show(gauge: &Gauge<u64>, service: &'static str, condition: &Condition) {
    for (kind, value) in values(condition) {
        let labels = [
            KeyValue::new("mp169.service", service),
            KeyValue::new("kind", kind),
        ];
        gauge.record(value, &labels);
    }
}

/// The gauge of each kind of trouble.
fn values(condition: &Condition) -> impl Iterator<Item = (&'static str, u64)> {
    let present = condition.trouble().map(Trouble::reason);
    Trouble::REASONS
        .into_iter()
        .map(move |kind| (kind, u64::from(present == Some(kind))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_trouble_is_shown_at_a_time() {
        assert!(values(&Condition::Sound).all(|(_, value)| value == 0));
        for trouble in [Trouble::FileGone, Trouble::Damaged, Trouble::CannotWrite] {
            let shown: Vec<_> = values(&Condition::Trouble(trouble.clone())).collect();
            assert_eq!(shown.len(), Trouble::REASONS.len());
            let present = shown.iter().filter(|(_, value)| *value == 1);
            assert_eq!(present.collect::<Vec<_>>(), [&(trouble.reason(), 1)]);
        }
    }
}
