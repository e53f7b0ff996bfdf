//! What is counted of revocation, and of files that cannot be used?

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use super::open::Rejected;

/// The instruments of one [`Tls`](super::Tls).
pub(super) struct Metrics {
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
            refused: meter
                .u64_counter("mp169.tls.reload.failures")
                .with_description(
                    "Files of certificates, the deny-list or revocation lists that could not be used",
                )
                .build(),
            revoked: meter
                .u64_gauge("mp169.tls.revoked")
                .with_description("Entries of the deny-list, and of the revocation lists, in use")
                .build(),
            ended: meter
                .u64_counter("mp169.tls.revoked_connections")
                .with_description("Open connections that ended because their peer is accepted no more")
                .build(),
        }
    }

    /// Files of this kind could not be used.
    pub(super) fn refused(&self, files: &'static str) {
        self.refused.add(1, &[KeyValue::new("files", files)]);
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
