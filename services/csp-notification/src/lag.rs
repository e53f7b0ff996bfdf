//! How far behind is each CSP, as metrics show it?
//!
//! The database is read now and then; how old the oldest change is that a CSP has not acknowledged is told by
//! the clock, so that it grows while the database cannot be read.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mesh_store::{Store, StoreError};
use mesh_types::{Clock, CspId, Timestamp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::subscriptions;
use crate::subscription::Subscription;

/// How often the database is read.
const LOOK: Duration = Duration::from_secs(5);
/// CSPs that are shown, in the order of their names; there are four, and a label has to have a bound.
const MOST: u32 = 50;

/// How far each CSP is. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lags(Arc<Mutex<Vec<Lag>>>);

#[derive(Debug, Clone)]
struct Lag {
    csp: CspId,
    events: u64,
    oldest: Option<Timestamp>,
    attached: bool,
}

impl From<Subscription> for Lag {
    fn from(subscription: Subscription) -> Self {
        Self {
            events: subscription.lag(),
            oldest: subscription.oldest_unacknowledged,
            attached: subscription.is_attached,
            csp: subscription.csp,
        }
    }
}

impl Lags {
    /// Reads it from `store` and has `meter` tell it, until `stop` is cancelled.
    pub(crate) async fn watch(
        self,
        store: Store,
        clock: Arc<dyn Clock>,
        meter: Meter,
        stop: CancellationToken,
    ) {
        self.observe(&clock, &meter);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watching = async {
            loop {
                looks.tick().await;
                if let Err(error) = self.look(&store).await {
                    tracing::warn!(%error, "it cannot be read how far CSPs are");
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let subscriptions = subscriptions(store, "", MOST).await?;
        let lags = subscriptions.into_iter().map(Lag::from).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lags;
        Ok(())
    }

    fn observe(&self, clock: &Arc<dyn Clock>, meter: &Meter) {
        let each = |tell: fn(&Lag, Timestamp) -> f64| {
            let asked: Weak<Mutex<Vec<Lag>>> = Arc::downgrade(&self.0);
            let clock = Arc::clone(clock);
            move |gauge: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
                let Some(lags) = asked.upgrade() else { return };
                let now = clock.now();
                for lag in &*lags.lock().unwrap_or_else(PoisonError::into_inner) {
                    let csp = KeyValue::new("csp", lag.csp.to_string());
                    gauge.observe(tell(lag, now), &[csp]);
                }
            }
        };
        meter
            .f64_observable_gauge("mp169.csp.lag")
            .with_unit("{event}")
            .with_description("Flag changes of a CSP that it has not acknowledged")
            .with_callback(each(|lag, _| count(lag.events)))
            .build();
        meter
            .f64_observable_gauge("mp169.csp.oldest_unacknowledged.age")
            .with_unit("s")
            .with_description(
                "Time since the oldest flag change was recorded that a CSP has not acknowledged; 0 if there is none",
            )
            .with_callback(each(|lag, now| {
                let age = lag.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
                age.as_secs_f64()
            }))
            .build();
        meter
            .f64_observable_gauge("mp169.csp.attached")
            .with_description(
                "1 while a stream of a CSP is attached, to whichever replica; otherwise 0",
            )
            .with_callback(each(|lag, _| f64::from(u8::from(lag.attached))))
            .build();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric is a float to those who read it"
)]
const fn count(events: u64) -> f64 {
    events as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_types::ManualClock;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;

    #[test]
    fn what_a_csp_has_not_acknowledged_ages() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let manual = Arc::new(ManualClock::new(at(100)));
        let clock: Arc<dyn Clock> = manual.clone();
        let lags = Lags::default();
        lags.observe(&clock, &provider.meter("tests"));
        let lag = |csp: &str, events, oldest: Option<i64>| Lag {
            csp: csp.parse().unwrap(),
            events,
            oldest: oldest.map(at),
            attached: oldest.is_none(),
        };
        *lags.0.lock().unwrap() = vec![lag("north", 0, None), lag("south", 7, Some(90))];
        let shown = || {
            exporter.reset();
            provider.force_flush().unwrap();
            let mut shown = BTreeMap::new();
            let finished = exporter.get_finished_metrics().unwrap();
            let scopes = finished.iter().flat_map(|all| all.scope_metrics());
            for metric in scopes.flat_map(|scope| scope.metrics()) {
                let AggregatedMetrics::F64(MetricData::Gauge(gauge)) = metric.data() else {
                    panic!("no gauge");
                };
                for point in gauge.data_points() {
                    let csp = point.attributes().next().unwrap().value.to_string();
                    let name = metric.name().trim_start_matches("mp169.csp.");
                    shown.insert(format!("{name} {csp}"), point.value().to_string());
                }
            }
            shown
        };
        let expected = |age: &str| {
            let expected = [
                ("attached north", "1"),
                ("attached south", "0"),
                ("lag north", "0"),
                ("lag south", "7"),
                ("oldest_unacknowledged.age north", "0"),
                ("oldest_unacknowledged.age south", age),
            ];
            BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        assert_eq!(shown(), expected("10"));
        manual.set(at(130));
        assert_eq!(shown(), expected("40"));
    }
}
