//! Does a service not accept our certificate?
//!
//! In TLS 1.3 a client learns that after its own handshake, as a connection that breaks. Whoever's
//! certificate was revoked would read "transport error", and try again. The transport keeps of an
//! error its text alone, so the alert is put into words of ours where it is still one, and
//! recognised by them where a call fails.

use std::error::Error;
use std::io;

use rustls::AlertDescription;
use tonic::Status;
use tower::BoxError;

const REVOKED: &str = "the service refuses this certificate: it was revoked";
const NOT_IN_FORCE: &str = "the service refuses this certificate: it is not in force";
const NOT_TRUSTED: &str = "the service refuses this certificate: its authority is not trusted";

/// An error of the connection, in words of ours if the service refused our certificate.
pub(super) fn worded(error: io::Error) -> io::Error {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let words = match tls {
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRevoked)) => REVOKED,
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)) => NOT_IN_FORCE,
        Some(rustls::Error::AlertReceived(AlertDescription::UnknownCA)) => NOT_TRUSTED,
        _ => return error,
    };
    io::Error::new(io::ErrorKind::PermissionDenied, words)
}

/// The error of a call: UNAUTHENTICATED where the service refused our certificate.
pub(super) fn explained(error: BoxError) -> BoxError {
    let Some(words) = words(error.as_ref()) else {
        return error;
    };
    let mut status = Status::unauthenticated(words);
    status.set_source(error.into());
    status.into()
}

fn words(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let text = io.to_string();
            let ours = [REVOKED, NOT_IN_FORCE, NOT_TRUSTED];
            return ours.into_iter().find(|words| text == *words);
        }
        next = error.source();
    }
    None
}
