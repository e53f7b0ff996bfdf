//! How old is what decisions rest on, as metrics show it?

use std::sync::Arc;

use mesh_types::Clock;
use opentelemetry::metrics::Meter;

use super::Flags;

impl Flags {
    /// Has `meter` ask how long ago the flags were known to be all there were: by the clock of flag-registry
    /// then, and by `clock` now. Before the first snapshot they are as old as the question.
    pub fn observe_age(&self, clock: Arc<dyn Clock>, meter: &Meter) {
        let asked = Arc::downgrade(&self.0);
        let began = clock.now();
        meter
            .f64_observable_gauge("mp169.classification.flags.age")
            .with_unit("s")
            .with_description(
                "Time since the flags were known to be all there were; before they are loaded, since the start",
            )
            .with_callback(move |gauge| {
                if let Some(inner) = asked.upgrade() {
                    let view = inner.view.load();
                    let fresh = view.as_ref().map_or(began, |view| view.fresh_time);
                    gauge.observe(clock.now().since(fresh).as_secs_f64(), &[]);
                }
            })
            .build();
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::{Epoch, ManualClock, Position, Timestamp};
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;
    use crate::flags::FlagSet;
    use crate::metrics::Metrics;

    #[test]
    fn flags_age_until_a_checkpoint_comes() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let meter = provider.meter("tests");
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let clock = Arc::new(ManualClock::new(at(100)));
        let flags = Flags::not_loaded(Metrics::new(&meter));
        flags.observe_age(clock.clone(), &meter);
        let age = || {
            exporter.reset();
            provider.force_flush().unwrap();
            let finished = exporter.get_finished_metrics().unwrap();
            let scopes = finished.iter().flat_map(|all| all.scope_metrics());
            let mut metrics = scopes.flat_map(|scope| scope.metrics());
            let found = metrics.find(|metric| metric.name() == "mp169.classification.flags.age");
            let AggregatedMetrics::F64(MetricData::Gauge(gauge)) = found.unwrap().data() else {
                panic!("no gauge");
            };
            gauge.data_points().next().unwrap().value()
        };
        clock.set(at(103));
        assert_eq!(age().to_string(), "3", "nothing is loaded");
        let position = Position {
            log: "flags".parse().unwrap(),
            epoch: Epoch::new(1).unwrap(),
            sequence: 1,
        };
        flags.replace(FlagSet::default(), position, at(102));
        assert_eq!(age().to_string(), "1");
        flags.checkpoint(at(103));
        clock.set(at(150));
        flags.lost(at(140));
        assert_eq!(age().to_string(), "47");
    }
}
