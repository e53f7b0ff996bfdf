//! How does a stream learn that the server is stopping?

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Starts once, when the server begins to stop. Cheap to clone.
///
/// The handler of a stream without end watches it and ends its stream, with a last message or a
/// status that says so. One that does not is cut off at the drain limit.
#[derive(Debug, Clone, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    /// Not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves when the server begins to stop; at once if it has.
    pub fn started(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }

    /// The same as a token, for what knows nothing of this crate. Cancelling it starts nothing.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.child_token()
    }

    pub(super) fn start(&self) {
        self.0.cancel();
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Whether all calls came to their end; otherwise some were cut off at the drain limit.
    pub clean: bool,
}
