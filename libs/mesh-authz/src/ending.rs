//! Does the connection still last that a call came by?

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Begins when the caller's connection is about to be closed: a certificate on it ends, was revoked,
/// or its authority is not trusted any more. Cheap to clone.
///
/// The transport puts one into the extensions of each request, and the handler of a stream without
/// end watches it as it watches the server's own end: by
/// [`Authorization::ending`](crate::Authorization::ending).
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<CancellationToken>);

impl Ending {
    /// A connection that lasts until [`Ending::begin`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves when the connection is about to be closed; at once if it is.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }

    /// Whether the connection is about to be closed.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Says that the connection is about to be closed.
    pub fn begin(&self) {
        self.0.cancel();
    }
}
