//! How often is a change of a flag refused, and why?

use mesh_api::status::reason_name;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::error::Error;
use crate::preconditions::precondition_name;
use crate::quota::Quota;

/// The reason of a refusal that is trouble on our side.
const NONE: &str = "_OTHER";

/// The service's own instruments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    refused: Counter<u64>,
    unmet: Counter<u64>,
    quotas: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let metrics = Self {
            refused: meter
                .u64_counter("mp169.flags.refused_changes")
                .with_unit("{change}")
                .with_description(
                    "Changes of flags that were refused, alone or in a batch, by the reason",
                )
                .build(),
            unmet: meter
                .u64_counter("mp169.flags.unmet_preconditions")
                .with_unit("{precondition}")
                .with_description("Preconditions for which changes of flags were refused")
                .build(),
            quotas: meter
                .u64_counter("mp169.flags.refused_by_quota")
                .with_unit("{change}")
                .with_description("Changes of flags that a quota refused, by the quota")
                .build(),
        };
        // An alert on a rise would miss the first one of its kind.
        for quota in Quota::ALL {
            let quota = KeyValue::new("quota", quota.name());
            metrics.quotas.add(0, &[quota]);
        }
        metrics
    }

    /// A change was refused.
    pub(crate) fn refused(&self, error: &Error) {
        let reason = error.reason().map_or(NONE, reason_name);
        self.refused.add(1, &[KeyValue::new("reason", reason)]);
        match error {
            Error::QuotaExhausted { used_up, .. } => {
                let quota = KeyValue::new("quota", used_up.quota.name());
                self.quotas.add(1, &[quota]);
            }
            Error::Preconditions(violations) => {
                for violation in violations {
                    let name = precondition_name(violation.precondition);
                    self.unmet.add(1, &[KeyValue::new("precondition", name)]);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;
    use crate::quota::UsedUp;

    #[test]
    fn refusals_are_counted_by_reason_and_quota() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::new(&provider.meter("tests"));
        let used_up = |quota| Error::QuotaExhausted {
            used_up: UsedUp {
                quota,
                size: std::num::NonZeroU32::MIN,
                wait: std::time::Duration::from_secs(1),
            },
            subject: "ALBION".to_owned(),
        };
        for quota in Quota::ALL {
            metrics.refused(&used_up(quota));
        }
        metrics.refused(&used_up(Quota::SupplierRepeats));
        metrics.refused(&Error::RequestIdReused);
        provider.force_flush().unwrap();
        let finished = exporter.get_finished_metrics().unwrap();
        let scopes = finished.iter().flat_map(|all| all.scope_metrics());
        let mut counts = Vec::new();
        for metric in scopes.flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() else {
                panic!("no sum");
            };
            for point in sum.data_points() {
                let why = point.attributes().next().unwrap().value.to_string();
                let name = metric.name().trim_start_matches("mp169.flags.");
                counts.push((format!("{name} {why}"), point.value()));
            }
        }
        counts.sort();
        let expected = [
            ("refused_by_quota DEVICE_LIFTS", 1),
            ("refused_by_quota DEVICE_REPEATS", 1),
            ("refused_by_quota SUPPLIER_LIFTS", 1),
            ("refused_by_quota SUPPLIER_REPEATS", 2),
            ("refused_changes QUOTA_EXHAUSTED", 5),
            ("refused_changes REQUEST_ID_REUSED", 1),
        ];
        assert_eq!(
            counts,
            expected.map(|(what, count)| (what.to_owned(), count))
        );
    }
}
