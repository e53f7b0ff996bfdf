//! What goes wrong with connections, and how often?
//!
//! Anybody can make connections go wrong, so their lines in the log are few (`log_rate.rs`) and the
//! numbers are here: the metric `mp169.server.connection.faults`, by fault. Handshakes that fail are
//! counted with the others, by outcome.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The listener gave no connection, such as for too many open files.
    NotAccepted,
    /// A known caller, or its class, has all the connections that it may have.
    TooMany,
    /// A connection ended with an error: reset, silent for too long, or against the protocol.
    Broken,
}

/// Counts faults. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Faults(Counter<u64>);

impl Faults {
    pub(super) fn new() -> Self {
        let meter = opentelemetry::global::meter("mesh-rpc");
        let counter = meter
            .u64_counter("mp169.server.connection.faults")
            .with_unit("{connection}")
            .with_description("Connections that were not accepted, not kept, or broke");
        Self(counter.build())
    }

    pub(super) fn count(&self, fault: Fault) {
        let fault = match fault {
            Fault::NotAccepted => "not_accepted",
            Fault::TooMany => "too_many",
            Fault::Broken => "broken",
        };
        self.0.add(1, &[KeyValue::new("fault", fault)]);
    }
}
