//! What can be watched of the record?

use std::sync::{Arc, Weak};

use opentelemetry::KeyValue;

use crate::queue::Queue;

/// Has the meter ask `queue` for as long as it is there.
pub(crate) fn observe(service: &'static str, queue: &Arc<Queue>) {
    let meter = opentelemetry::global::meter("mesh-audit");
    let labels = [KeyValue::new("mp169.service", service)];
    let asked: Weak<Queue> = Arc::downgrade(queue);
    let (failing, at) = (asked.clone(), labels.clone());
    meter
        .u64_observable_gauge("mp169.audit.failing")
        .with_description("1 while nothing can be put on record: raise an alarm")
        .with_callback(move |gauge| {
            if let Some(queue) = failing.upgrade() {
                let is_failing = queue.progress().failing_since.is_some();
                gauge.observe(is_failing.into(), &at);
            }
        })
        .build();
    let (waiting, at) = (asked.clone(), labels.clone());
    meter
        .u64_observable_gauge("mp169.audit.waiting")
        .with_unit("{record}")
        .with_description("Records that wait to be written")
        .with_callback(move |gauge| {
            if let Some(queue) = waiting.upgrade() {
                gauge.observe(u64::try_from(queue.len()).unwrap_or(u64::MAX), &at);
            }
        })
        .build();
    meter
        .u64_observable_counter("mp169.audit.records")
        .with_unit("{record}")
        .with_description("Records that were written since the service started, counts apart")
        .with_callback(move |counter| {
            if let Some(queue) = asked.upgrade() {
                counter.observe(queue.progress().written, &labels);
            }
        })
        .build();
}
