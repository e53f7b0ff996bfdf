//! The story's clock: it runs as the machine's does, from an instant of the story's choosing, and
//! can be moved forward.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mesh_types::{Clock, SystemClock, Timestamp};

/// A clock that is the machine's, shifted.
#[derive(Debug)]
pub struct StoryClock {
    shift_micros: AtomicI64,
}

impl StoryClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            shift_micros: AtomicI64::new(start.micros() - SystemClock.now().micros()),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.shift_micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let shift = self.shift_micros.load(Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().micros().saturating_add(shift))
    }
}
