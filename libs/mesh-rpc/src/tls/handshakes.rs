//! How do handshakes end, and how many ended so?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use rustls::{CertificateError, Error};

/// How the TLS handshake of a caller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A connection was made, with or without a certificate of the caller.
    Accepted,
    /// The caller's certificate is not of an authority that we trust.
    UnknownAuthority,
    /// The caller's certificate has ended.
    Expired,
    /// The caller's certificate does not hold yet.
    NotYetValid,
    /// The caller's certificate, or its identity, is not accepted any more.
    Revoked,
    /// The caller did not finish in time.
    TimedOut,
    /// The caller had to go before it finished, because others came.
    MadeRoom,
    /// Anything else: no TLS at all, another protocol, a broken connection.
    Other,
}

impl HandshakeOutcome {
    const ALL: [Self; 8] = [
        Self::Accepted,
        Self::UnknownAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::TimedOut,
        Self::MadeRoom,
        Self::Other,
    ];

    /// The outcome as the label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::TimedOut => "timed_out",
            Self::MadeRoom => "made_room",
            Self::Other => "other",
        }
    }

    /// The cause of a failure.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        let cause = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        let Some(Error::InvalidCertificate(certificate)) = cause else {
            return Self::Other;
        };
        match certificate {
            // The signature is bad where another authority has the same name as ours.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::Revoked => Self::Revoked,
            _ => Self::Other,
        }
    }
}

/// Handshakes by outcome, since the start: as the metric `mp169.tls.handshakes`, and readable here.
#[derive(Debug, Clone)]
pub struct HandshakeCounters {
    counts: Arc<[AtomicU64; HandshakeOutcome::ALL.len()]>,
    /// Whose server it is.
    service: Arc<OnceLock<&'static str>>,
    metric: Counter<u64>,
}

impl HandshakeCounters {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            counts: Arc::default(),
            service: Arc::default(),
            metric: meter
                .u64_counter("mp169.tls.handshakes")
                .with_unit("{handshake}")
                .with_description("TLS handshakes of callers by outcome")
                .build(),
        }
    }

    /// The server is that of `service`, which each outcome tells from none so far: an alert on a rise would miss the
    /// first one of its kind.
    pub(crate) fn serve(&self, service: &'static str) {
        // A second one is of a test.
        let _ = self.service.set(service);
        for outcome in HandshakeOutcome::ALL {
            self.metric.add(0, &self.labels(outcome));
        }
    }

    fn labels(&self, outcome: HandshakeOutcome) -> [KeyValue; 2] {
        let service = self.service.get().copied().unwrap_or("none");
        [
            KeyValue::new("mp169.service", service),
            KeyValue::new("outcome", outcome.as_str()),
        ]
    }

    pub(crate) fn add(&self, outcome: HandshakeOutcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.metric.add(1, &self.labels(outcome));
    }

    /// How many handshakes ended so.
    #[must_use]
    pub fn get(&self, outcome: HandshakeOutcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// How many handshakes failed, for whatever cause.
    #[must_use]
    pub fn failed(&self) -> u64 {
        HandshakeOutcome::ALL
            .into_iter()
            .filter(|&outcome| outcome != HandshakeOutcome::Accepted)
            .map(|outcome| self.get(outcome))
            .sum()
    }
}
