//! Is a log followed, and if not, since when and why?

mod metrics;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_store::cursor::Cursor;
use mesh_types::{Clock, Position, Timestamp};
use opentelemetry::metrics::Meter;
use tokio::sync::watch;
use tonic::Status;

use crate::FollowError;
use metrics::Metrics;

/// How far a follower has come, and what keeps it from going on.
///
/// What is wrong with a log stays said until the log is followed again, whatever fails in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerStatus {
    /// No stream has brought anything yet.
    Starting,
    /// Everything up to here has been taken over, and more is awaited.
    Following {
        /// The last event.
        position: Position,
    },
    /// The owner of the log is out of reach, or the follower's own database is.
    Lost {
        /// Since when.
        since: Timestamp,
    },
    /// The owner of the log says that the log went back. The follower keeps what it has.
    WentBack {
        /// Since when.
        since: Timestamp,
    },
    /// What the owner of the log sends makes no sense. The follower keeps what it has.
    Malformed {
        /// Since when.
        since: Timestamp,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A log that a service follows, and how that goes. Clones share it.
#[derive(Debug, Clone)]
pub struct FollowedLog {
    name: &'static str,
    clock: Arc<dyn Clock>,
    status: Arc<watch::Sender<FollowerStatus>>,
    known: Arc<Mutex<Known>>,
    metrics: Arc<Metrics>,
}

/// How far the follower has come.
#[derive(Debug)]
pub(crate) struct Known {
    /// The last event that was taken over.
    stands: Option<Cursor>,
    /// When all there was had been taken over last; before that, when following began.
    present: Timestamp,
}

impl FollowedLog {
    /// The log `name`, as `service` follows it.
    #[must_use]
    pub fn new(service: &'static str, name: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self::measured(
            service,
            name,
            clock,
            &opentelemetry::global::meter("mesh-follow"),
        )
    }

    fn measured(
        service: &'static str,
        name: &'static str,
        clock: Arc<dyn Clock>,
        meter: &Meter,
    ) -> Self {
        let known = Arc::new(Mutex::new(Known {
            stands: None,
            present: clock.now(),
        }));
        metrics::observe(service, name, &known, &clock, meter);
        Self {
            name,
            clock,
            status: Arc::new(watch::Sender::new(FollowerStatus::Starting)),
            known,
            metrics: Arc::new(Metrics::new(service, name, meter)),
        }
    }

    /// The log's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How following it goes, and wakes when that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FollowerStatus> {
        self.status.subscribe()
    }

    /// The last event that was taken over, by this process or one before, whatever has become of the log
    /// since; `None` before the first snapshot.
    #[must_use]
    pub fn stands_at(&self) -> Option<Cursor> {
        self.known().stands.clone()
    }

    /// The follower has taken over everything up to `at`.
    pub(crate) fn stands(&self, at: &Cursor) {
        self.known().stands = Some(at.clone());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to `at` was taken over, and more is awaited.
    pub(crate) fn reached(&self, at: &Cursor) {
        let now = self.clock.now();
        *self.known() = Known {
            stands: Some(at.clone()),
            present: now,
        };
        self.turn(FollowerStatus::Following {
            position: at.position.clone(),
        });
    }

    /// The owner ended the stream with `status`, or refused it.
    pub(crate) fn refused(&self, status: &Status) {
        let since = self.clock.now();
        match reason_of(status) {
            Some(ErrorReason::LogWentBack) => self.turn(FollowerStatus::WentBack { since }),
            _ => self.lost(),
        }
    }

    /// The follower cannot take over what it was sent.
    pub(crate) fn failed(&self, error: &FollowError) {
        let since = self.clock.now();
        match error {
            FollowError::Malformed(what) => {
                self.turn(FollowerStatus::Malformed { since, what });
            }
            // Another replica follows in this one's place.
            FollowError::Stale => {}
            FollowError::Store(_) => self.lost(),
        }
    }

    /// Nothing is heard.
    pub(crate) fn lost(&self) {
        let since = self.clock.now();
        self.turn(FollowerStatus::Lost { since });
    }

    fn turn(&self, next: FollowerStatus) {
        self.status.send_if_modified(|status| {
            let news = status.gives_way_to(&next);
            if news {
                // Metrics tell states and not places, of which there are hundreds a second.
                if !status.is_like(&next) {
                    self.metrics.show(&next);
                }
                *status = next;
            }
            news
        });
    }
}

impl FollowerStatus {
    /// A short constant name, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Following { .. } => "following",
            Self::Lost { .. } => "lost",
            Self::WentBack { .. } => "went-back",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// Since when the log is not followed, if it was and is not. Of a log that was never followed nobody
    /// has anything that could be old.
    #[must_use]
    pub const fn stale_since(&self) -> Option<Timestamp> {
        match self {
            Self::Starting | Self::Following { .. } => None,
            Self::Lost { since } | Self::WentBack { since } | Self::Malformed { since, .. } => {
                Some(*since)
            }
        }
    }

    /// Whether `next` says something new. That nothing is heard is none of what is known to be worse,
    /// and what lasts keeps the time at which it began.
    fn gives_way_to(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Following { position: from }, Self::Following { position: to }) => from != to,
            (Self::WentBack { .. } | Self::Malformed { .. }, Self::Lost { .. }) => false,
            _ => !self.is_like(next),
        }
    }

    /// Whether both are the same state, wherever it holds.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::{Epoch, ManualClock};
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;

    #[test]
    fn metrics_show_how_long_ago_a_log_was_followed_to_its_end() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let clock = Arc::new(ManualClock::new(at(10)));
        let meter = provider.meter("tests");
        let log = FollowedLog::measured("tests", "flags", clock.clone(), &meter);
        let shown = || {
            exporter.reset();
            provider.force_flush().unwrap();
            let finished = exporter.get_finished_metrics().unwrap();
            let scopes = finished.iter().flat_map(|all| all.scope_metrics());
            let (mut age, mut position) = (None, None);
            for metric in scopes.flat_map(|scope| scope.metrics()) {
                match (metric.name(), metric.data()) {
                    ("mp169.follow.age", AggregatedMetrics::F64(MetricData::Gauge(gauge))) => {
                        age = gauge.data_points().next().map(|point| point.value());
                    }
                    ("mp169.follow.position", AggregatedMetrics::U64(MetricData::Gauge(gauge))) => {
                        position = gauge.data_points().next().map(|point| point.value());
                    }
                    _ => {}
                }
            }
            (age, position)
        };
        clock.set(at(12));
        assert_eq!(shown(), (Some(2.0), None), "nothing was taken over yet");
        let position = Position {
            log: "flags".parse().unwrap(),
            epoch: Epoch::new(1).unwrap(),
            sequence: 3,
        };
        let cursor = |sequence| Cursor {
            position: Position {
                sequence,
                ..position.clone()
            },
            hash: [3; 32],
        };
        log.reached(&cursor(3));
        clock.set(at(17));
        assert_eq!(shown(), (Some(5.0), Some(3)));
        // What was taken over may not have been all.
        log.stands(&cursor(4));
        log.lost();
        clock.set(at(19));
        assert_eq!(shown(), (Some(7.0), Some(4)));
    }

    #[test]
    fn what_is_wrong_with_a_log_stays_said_until_it_is_followed() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1)));
        let log = FollowedLog::new("tests", "flags", clock.clone());
        let status = log.status();
        let position = Position {
            log: "flags".parse().unwrap(),
            epoch: Epoch::new(1).unwrap(),
            sequence: 3,
        };
        let at = Timestamp::from_micros;
        let cursor = Cursor {
            position: position.clone(),
            hash: [3; 32],
        };
        let gone_back = mesh_api::status::refusal(
            tonic::Code::Unavailable,
            ErrorReason::LogWentBack,
            "it went back",
        );
        log.reached(&cursor);
        log.refused(&Status::unavailable("away"));
        assert_eq!(*status.borrow(), FollowerStatus::Lost { since: at(1) });
        clock.set(at(2));
        log.lost();
        assert_eq!(*status.borrow(), FollowerStatus::Lost { since: at(1) });
        log.refused(&gone_back);
        clock.set(at(3));
        log.lost();
        assert_eq!(*status.borrow(), FollowerStatus::WentBack { since: at(2) });
        let what = "an event does not fit the chain";
        log.failed(&FollowError::Malformed(what));
        log.failed(&FollowError::Stale);
        let since = at(3);
        assert_eq!(*status.borrow(), FollowerStatus::Malformed { since, what });
        assert_eq!(
            log.stands_at().as_ref(),
            Some(&cursor),
            "it keeps what it has"
        );
        log.reached(&cursor);
        assert_eq!(*status.borrow(), FollowerStatus::Following { position });
    }
}
