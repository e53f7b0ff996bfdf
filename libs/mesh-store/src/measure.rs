//! Whose database is measured, and what of its connections?

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::Store;
use crate::meters::SECONDS;
use crate::open::PoolRole;

impl Store {
    /// Has `meter` measure the database from now on, as that of `service` which is called `database`
    /// (`state`, `audit`): its connections and its writer.
    pub fn measure(&self, service: &'static str, database: &'static str, meter: &Meter) {
        let labels = [
            KeyValue::new("mp169.service", service),
            KeyValue::new("mp169.database", database),
        ];
        self.meters().name(&labels, meter);
        self.meters().observe_waiting(labels.clone(), meter);
        for role in [PoolRole::Writer, PoolRole::Readers] {
            let name = format!("{database}-{}", role.name());
            let name = KeyValue::new("db.client.connection.pool.name", name);
            self.measure_pool(role, &[labels[0].clone(), name], meter);
        }
    }

    /// By OpenTelemetry's conventions for pools of connections.
    fn measure_pool(&self, role: PoolRole, labels: &[KeyValue; 2], meter: &Meter) {
        let wait = meter
            .f64_histogram("db.client.connection.wait_time")
            .with_unit("s")
            .with_description("Time that a connection is waited for")
            .with_boundaries(SECONDS.to_vec())
            .build();
        self.pool(role).measure_waits(wait, labels);
        let (asked, at) = (self.downgrade(), labels.clone());
        meter
            .i64_observable_up_down_counter("db.client.connection.max")
            .with_unit("{connection}")
            .with_description("Connections that there may be")
            .with_callback(move |gauge| {
                if let Some(store) = asked.upgrade() {
                    gauge.observe(store.pool(role).usage().max.into(), &at);
                }
            })
            .build();
        let asked = self.downgrade();
        let [idle, used] = ["idle", "used"].map(|state| {
            let state = KeyValue::new("db.client.connection.state", state);
            let [service, pool] = labels.clone();
            [service, pool, state]
        });
        meter
            .i64_observable_up_down_counter("db.client.connection.count")
            .with_unit("{connection}")
            .with_description("Connections that are open, by whether somebody uses them")
            .with_callback(move |gauge| {
                if let Some(store) = asked.upgrade() {
                    let state = store.pool(role).usage();
                    gauge.observe(state.idle.into(), &idle);
                    gauge.observe(state.used.into(), &used);
                }
            })
            .build();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use mesh_types::SystemClock;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;
    use crate::{Answers, Batch, Database, Migrator, StoreError, WriteTx, Writer, WriterSettings};

    /// Writes nothing, and fails where it is told to.
    struct Nothing;

    impl Batch for Nothing {
        type Command = bool;
        type Answer = ();
        type Error = ();

        async fn apply(
            &self,
            _tx: &mut WriteTx,
            commands: &[bool],
        ) -> Result<Answers<(), ()>, StoreError> {
            if commands.contains(&true) {
                return Err(StoreError::Stopped);
            }
            Ok(commands.iter().map(|_| Ok(())).collect())
        }
    }

    /// Of each series its value, or of a histogram the number of what it holds.
    fn series(exporter: &InMemoryMetricExporter) -> BTreeMap<String, u64> {
        let finished = exporter.get_finished_metrics().unwrap();
        let scopes = finished.iter().flat_map(|all| all.scope_metrics());
        let mut series = BTreeMap::new();
        for metric in scopes.flat_map(|scope| scope.metrics()) {
            let mut add = |labels: Vec<&KeyValue>, value: u64| {
                let mut labels: Vec<_> =
                    labels.iter().map(|label| label.value.to_string()).collect();
                labels.sort();
                series.insert(format!("{} {}", metric.name(), labels.join(" ")), value);
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Histogram(held)) => held
                    .data_points()
                    .for_each(|point| add(point.attributes().collect(), point.count())),
                AggregatedMetrics::F64(MetricData::Histogram(held)) => held
                    .data_points()
                    .for_each(|point| add(point.attributes().collect(), point.count())),
                AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|point| {
                        add(point.attributes().collect(), point.value().unsigned_abs());
                    });
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => gauge
                    .data_points()
                    .for_each(|point| add(point.attributes().collect(), point.value())),
                other => panic!("{other:?}"),
            }
        }
        series
    }

    #[tokio::test]
    async fn a_database_tells_of_its_connections_and_its_writer() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let none = Migrator::with_migrations(vec![]);
        let store = Store::open(&Database::existing_or_new(&url), &none)
            .await
            .unwrap();
        store.measure("registration", "state", &provider.meter("tests"));
        let clock = Arc::new(SystemClock);
        let (writer, task) =
            Writer::start(store.clone(), Nothing, clock, WriterSettings::default());
        writer.submit(false).await.unwrap().unwrap();
        writer.submit(true).await.unwrap_err();
        let lent = store.readers().acquire().await.unwrap();
        provider.force_flush().unwrap();
        let shown = series(&exporter);
        let written = [
            ("batch.size registration state", 2),
            ("commit.duration registration state", 1),
            ("transaction.duration committed registration state", 1),
            ("transaction.duration registration state undone", 1),
            ("waiting registration state", 0),
        ];
        for (name, value) in written {
            let name = format!("mp169.writer.{name}");
            assert_eq!(shown.get(&name), Some(&value), "{name} in {shown:#?}");
        }
        // Who looks after the database uses connections, too.
        let lent_to = [
            "wait_time registration state-readers",
            "count registration state-readers used",
            "max registration state-writer",
        ];
        for name in lent_to {
            let value = shown.get(&format!("db.client.connection.{name}"));
            assert!(
                value.is_some_and(|&value| value >= 1),
                "{name} in {shown:#?}"
            );
        }
        drop(lent);
        task.shutdown().await;
        store.close().await;
    }
}
