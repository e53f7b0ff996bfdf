//! What does it mean for a call that its connection broke?

use std::error::Error as _;

use h2::Reason;
use tonic::Status;

/// Whether the server did nothing of the call: it had said that it takes no more on this connection, or
/// has refused this one (RFC 9113, 6.8 and 8.7). Another process may be asked the same.
pub(super) fn is_untouched(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(|http2| {
        let said = http2.is_remote().then(|| http2.reason()).flatten();
        (http2.is_go_away() && said == Some(Reason::NO_ERROR))
            || (http2.is_reset() && said == Some(Reason::REFUSED_STREAM))
    })
}

/// What the caller is told. A server that resets one call means that call; whatever else goes wrong is the
/// connection's, and of that gRPC says UNAVAILABLE.
pub(super) fn status_of(error: hyper::Error) -> Status {
    if of_http2(&error).is_some_and(|http2| http2.is_reset() && http2.is_remote()) {
        return Status::from_error(Box::new(error));
    }
    let mut status = Status::unavailable("the connection broke before the answer was complete");
    status.set_source(std::sync::Arc::new(error));
    status
}

fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
