//! What is counted of revocation, and of files that cannot be used?

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use super::looks::Kind;
use super::open::Rejected;

/// The instruments of one [`Tls`](super::Tls).
pub(super) struct Metrics {
    /// Whose server uses it, if one does.
    service: OnceLock<&'static str>,
    refused: Counter<u64>,
    revoked: Gauge<u64>,
    ended: Counter<u64>,
}

/// How much is revoked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries {
    /// In our deny-list.
    pub(super) denied: usize,
    /// In the lists of authorities.
    pub(super) listed: usize,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            service: OnceLock::new(),
            refused: meter
                .u64_counter("mp169.tls.reload.failures")
                .with_unit("{failure}")
                .with_description(
                    "Files of certificates, the deny-list or revocation lists that could not be used",
                )
                .build(),
            revoked: meter
                .u64_gauge("mp169.tls.revoked")
                .with_unit("{entry}")
                .with_description("Entries of the deny-list, and of the revocation lists, in use")
                .build(),
            ended: meter
                .u64_counter("mp169.tls.revoked_connections")
                .with_unit("{connection}")
                .with_description("Open connections that ended because their peer is accepted no more")
                .build(),
        }
    }

    /// The server of `service` uses it. Failures are told from none so far: an alert on a rise would miss the first.
    pub(super) fn serve(&self, service: &'static str) {
        // A second one is of a test.
        let _ = self.service.set(service);
        for files in Kind::NAMES {
            self.refused.add(0, &self.labels(files));
        }
    }

    fn labels(&self, files: &'static str) -> [KeyValue; 2] {
        let service = self.service.get().copied().unwrap_or("none");
        [
            KeyValue::new("mp169.service", service),
            KeyValue::new("files", files),
        ]
    }

    /// Files of this kind could not be used.
    pub(super) fn refused(&self, files: &'static str) {
        self.refused.add(1, &self.labels(files));
    }

    /// This is in use now.
    pub(super) fn revokes(&self, entries: Entries) {
        for (list, entries) in [("deny_list", entries.denied), ("crl", entries.listed)] {
            let entries = u64::try_from(entries).unwrap_or(u64::MAX);
            self.revoked.record(entries, &[KeyValue::new("list", list)]);
        }
    }

    /// An open connection ended because its peer is accepted no more.
    pub(super) fn ended(&self, rejected: &Rejected) {
        self.ended
            .add(1, &[KeyValue::new("cause", rejected.cause())]);
    }
}

/// Has `meter` ask how long the certificate of `service` still holds.
pub(super) fn observe_end(
    service: &'static str,
    left: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    meter: &Meter,
) {
    let service = [KeyValue::new("mp169.service", service)];
    meter
        .f64_observable_gauge("mp169.tls.certificate.remaining")
        .with_unit("s")
        .with_description("Time until the service's own certificate ends; 0 once it has")
        .with_callback(move |gauge| {
            if let Some(left) = left() {
                gauge.observe(left.as_secs_f64(), &service);
            }
        })
        .build();
}
