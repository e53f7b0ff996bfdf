//! How long may a record wait, and how many?

use std::time::Duration;

/// The times and sizes of a record's way to the disk.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A record waits so long for others at most, so that many are written together.
    pub linger: Duration,
    /// So many records are written without waiting for more.
    pub at_once: usize,
    /// While so many wait, calls that will be put on record wait before they begin.
    pub most_waiting: usize,
    /// Counts are recorded so often.
    pub counted_every: Duration,
    /// While nothing can be written, it is tried again so often.
    pub retry_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(100),
            at_once: 4096,
            most_waiting: 16_384,
            counted_every: Duration::from_secs(10),
            retry_every: Duration::from_secs(1),
        }
    }
}
