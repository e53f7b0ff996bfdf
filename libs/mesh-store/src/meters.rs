//! What is measured of a database: its connections, and the task that writes to it?
//!
//! A database is opened before anybody says whose it is, so that nothing is measured until
//! [`Store::measure`] has said so.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use crate::Store;
use crate::open::PoolRole;

/// Bucket bounds in seconds: those that OpenTelemetry gives for durations, and below them what a commit takes on
/// a good disk.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Bucket bounds of how many commands go into one transaction.
const COMMANDS: [f64; 11] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0,
];

/// How a transaction of the writer ended, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Committed,
    Undone,
}

impl Ended {
    const ALL: [Self; 2] = [Self::Committed, Self::Undone];

    const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Undone => "undone",
        }
    }
}

/// How many wait for the writer.
type Waiting = Box<dyn Fn() -> usize + Send + Sync>;

/// The instruments of one database. Copies share them.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<Shared>);

#[derive(Default)]
struct Shared {
    writing: OnceLock<Writing>,
    waiting: OnceLock<Waiting>,
}

struct Writing {
    labels: [KeyValue; 2],
    by_end: [[KeyValue; 3]; 2],
    batch: Histogram<u64>,
    commit: Histogram<f64>,
    transaction: Histogram<f64>,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Has `waiting` asked how many wait for the writer. A database has one in a process.
    pub(crate) fn ask(&self, waiting: impl Fn() -> usize + Send + Sync + 'static) {
        // A second one is of a test.
        let _ = self.0.waiting.set(Box::new(waiting));
    }

    /// A transaction of the writer with so many commands has ended.
    pub(crate) fn transaction(&self, commands: usize, took: Duration, ended: Ended) {
        let Some(writing) = self.0.writing.get() else {
            return;
        };
        let commands = u64::try_from(commands).unwrap_or(u64::MAX);
        writing.batch.record(commands, &writing.labels);
        let labels = &writing.by_end[ended as usize];
        writing.transaction.record(took.as_secs_f64(), labels);
    }

    /// A commit of the writer has taken so long.
    pub(crate) fn commit(&self, took: Duration) {
        if let Some(writing) = self.0.writing.get() {
            writing.commit.record(took.as_secs_f64(), &writing.labels);
        }
    }

    fn name(&self, labels: &[KeyValue; 2], meter: &Meter) {
        let seconds = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s");
            let histogram = histogram.with_description(description);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let [service, database] = labels.clone();
        let writing = Writing {
            labels: labels.clone(),
            by_end: Ended::ALL.map(|ended| {
                let ended = KeyValue::new("outcome", ended.name());
                [service.clone(), database.clone(), ended]
            }),
            batch: meter
                .u64_histogram("mp169.writer.batch.size")
                .with_unit("{command}")
                .with_description("Commands that a transaction of the writer holds")
                .with_boundaries(COMMANDS.to_vec())
                .build(),
            commit: seconds(
                "mp169.writer.commit.duration",
                "Time that the commit of a transaction of the writer takes",
            ),
            transaction: seconds(
                "mp169.writer.transaction.duration",
                "Time that a transaction of the writer takes, from the wait for the lock to the end of the commit",
            ),
        };
        // Somebody who says it twice says the same.
        let _ = self.0.writing.set(writing);
    }

    fn observe_waiting(&self, labels: [KeyValue; 2], meter: &Meter) {
        let asked: Weak<Shared> = Arc::downgrade(&self.0);
        meter
            .u64_observable_gauge("mp169.writer.waiting")
            .with_unit("{request}")
            .with_description("Requests that wait for a transaction of the writer")
            .with_callback(move |gauge| {
                let shared = asked.upgrade();
                if let Some(waiting) = shared.as_ref().and_then(|shared| shared.waiting.get()) {
                    let waiting = u64::try_from(waiting()).unwrap_or(u64::MAX);
                    gauge.observe(waiting, &labels);
                }
            })
            .build();
    }
}

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
