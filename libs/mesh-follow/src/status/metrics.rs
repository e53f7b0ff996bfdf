//! What do metrics show of following a log?

use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesh_types::Clock;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};

use super::{FollowerStatus, Known};

/// In which state following is.
#[derive(Debug)]
pub(super) struct Metrics {
    /// One for each state, in which it is 1 and otherwise 0.
    states: [[KeyValue; 3]; 5],
    state: Gauge<u64>,
}

impl Metrics {
    pub(super) fn new(service: &'static str, log: &'static str, meter: &Meter) -> Self {
        let states = ["starting", "following", "lost", "went-back", "malformed"];
        let metrics = Self {
            states: states.map(|state| {
                let [service, log] = labels(service, log);
                [service, log, KeyValue::new("state", state)]
            }),
            state: meter
                .u64_gauge("mp169.follow.state")
                .with_description(
                    "1 for the state in which a followed log is; went-back and malformed are alarms",
                )
                .build(),
        };
        metrics.show(&FollowerStatus::Starting);
        metrics
    }

    pub(super) fn show(&self, status: &FollowerStatus) {
        for labels in &self.states {
            let holds = labels[2].value.as_str() == status.name();
            self.state.record(holds.into(), labels);
        }
    }
}

fn labels(service: &'static str, log: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("mp169.service", service),
        KeyValue::new("log", log),
    ]
}

/// Has `meter` ask how far following has come, for as long as somebody follows.
pub(super) fn observe(
    service: &'static str,
    log: &'static str,
    known: &Arc<Mutex<Known>>,
    clock: &Arc<dyn Clock>,
    meter: &Meter,
) {
    let labels = labels(service, log);
    let asked: Weak<Mutex<Known>> = Arc::downgrade(known);
    let (clock, at) = (Arc::clone(clock), labels.clone());
    meter
        .f64_observable_gauge("mp169.follow.age")
        .with_unit("s")
        .with_description(
            "Time since all there was of a followed log had been taken over; before that, since the start",
        )
        .with_callback(move |gauge| {
            if let Some(known) = asked.upgrade() {
                let present = known.lock().unwrap_or_else(PoisonError::into_inner).present;
                gauge.observe(clock.now().since(present).as_secs_f64(), &at);
            }
        })
        .build();
    let asked: Weak<Mutex<Known>> = Arc::downgrade(known);
    meter
        .u64_observable_gauge("mp169.follow.position")
        .with_unit("{event}")
        .with_description("Sequence number of the last event of a followed log that was taken over")
        .with_callback(move |gauge| {
            if let Some(known) = asked.upgrade() {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(stands) = &known.stands {
                    gauge.observe(stands.position.sequence, &labels);
                }
            }
        })
        .build();
}
