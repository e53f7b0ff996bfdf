//! What is measured of a database: its connections, and the task that writes to it?
//!
//! A database is opened before anybody says whose it is, so that nothing is measured until
//! [`Store::measure`](crate::Store::measure) has said so.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

/// Bucket bounds in seconds: those that OpenTelemetry gives for durations, and below them what a commit takes on
/// a good disk.
pub(crate) const SECONDS: [f64; 16] = [
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

    pub(crate) fn name(&self, labels: &[KeyValue; 2], meter: &Meter) {
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

    pub(crate) fn observe_waiting(&self, labels: [KeyValue; 2], meter: &Meter) {
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
