//! Does a service not accept our certificate?
//!
//! In TLS 1.3 a client learns that after its own handshake, as a connection that breaks; a call that
//! was on its way is "cancelled", or met a "transport error". Whoever's certificate was revoked
//! would try again. So what the server said is kept beside the connection, where it is read, and
//! looked up where a call failed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::AlertDescription;
use tonic::Status;
use tower::BoxError;

/// What a service may say of our certificate, by number; nothing is 0.
const WORDS: [&str; 4] = [
    "",
    "the service refuses this certificate: it was revoked",
    "the service refuses this certificate: it is not in force",
    "the service refuses this certificate: its authority is not trusted",
];

/// What the service said of our certificate on the last connection of a channel. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<AtomicU8>);

impl Verdict {
    /// Nothing was said yet, or what was read shows that the certificate was accepted.
    pub(super) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Keeps what the service said, if `error` is that.
    pub(super) fn hear(&self, error: &io::Error) {
        let inner = error.get_ref();
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::AlertReceived(alert)) = tls else {
            return;
        };
        let number = match alert {
            AlertDescription::CertificateRevoked => 1,
            AlertDescription::CertificateExpired => 2,
            AlertDescription::UnknownCA => 3,
            _ => return,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    /// The error of a call: UNAUTHENTICATED where the service refused our certificate.
    pub(super) fn explain(&self, error: BoxError) -> BoxError {
        let number = usize::from(self.0.load(Ordering::Relaxed));
        match WORDS.get(number) {
            Some(words) if !words.is_empty() => {
                let mut status = Status::unauthenticated(*words);
                status.set_source(error.into());
                status.into()
            }
            _ => error,
        }
    }
}
