//! How often does a quota refuse a change?

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::quota::Quota;

/// The service's own instruments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    refused: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self {
            refused: meter
                .u64_counter("mp169.flags.refused_by_quota")
                .with_description("Changes of flags that a quota refused, by the quota")
                .build(),
        }
    }

    /// A quota refused a change.
    pub(crate) fn refused(&self, quota: Quota) {
        self.refused.add(1, &[KeyValue::new("quota", quota.name())]);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;

    #[test]
    fn refusals_are_counted_by_quota() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::new(&provider.meter("tests"));
        for quota in Quota::ALL {
            metrics.refused(quota);
        }
        metrics.refused(Quota::SupplierRepeats);
        provider.force_flush().unwrap();
        let finished = exporter.get_finished_metrics().unwrap();
        let scopes = finished.iter().flat_map(|all| all.scope_metrics());
        let mut counts = Vec::new();
        for metric in scopes.flat_map(|scope| scope.metrics()) {
            assert_eq!(metric.name(), "mp169.flags.refused_by_quota");
            let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() else {
                panic!("no sum");
            };
            for point in sum.data_points() {
                let quota = point.attributes().next().unwrap().value.to_string();
                counts.push((quota, point.value()));
            }
        }
        counts.sort();
        let expected = [
            ("DEVICE_LIFTS", 1),
            ("DEVICE_REPEATS", 1),
            ("SUPPLIER_LIFTS", 1),
            ("SUPPLIER_REPEATS", 2),
        ];
        assert_eq!(
            counts,
            expected.map(|(quota, count)| (quota.to_owned(), count))
        );
    }
}
