//! A clock that is watched: by its own past, and by what the other services' clocks show.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, ClockWatch, Doubt, Timestamp};

/// A clock that is watched.
#[derive(Clone)]
pub struct WatchedClock {
    clock: Arc<dyn Clock>,
    watch: ClockWatch,
}

impl WatchedClock {
    /// Watches `clock`; `elapsed` measures time in another way, and goes on while the machine
    /// sleeps.
    pub fn new(
        clock: Arc<dyn Clock>,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let watch = ClockWatch::begin(clock.now(), elapsed);
        Self { clock, watch }
    }

    /// An operator says that the clock is right at this start.
    #[must_use]
    pub fn accepted(self) -> Self {
        self.watch.accept();
        self
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn doubt(&self) -> Option<Doubt> {
        self.watch.judge(self.now()).doubt
    }

    fn watch(&self) -> Option<&ClockWatch> {
        Some(&self.watch)
    }
}

/// Shows what time it most likely is, for what has to be recorded whatever the clock shows: the
/// clock's time, or, while that is not believed, what speaks against it.
#[derive(Debug, Clone)]
pub struct LikelyClock(pub Arc<dyn Clock>);

impl Clock for LikelyClock {
    fn now(&self) -> Timestamp {
        let now = self.0.now();
        let ahead = self.0.doubt().map_or(Duration::ZERO, |doubt| doubt.ahead());
        let ahead = i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.micros().saturating_sub(ahead))
    }
}

impl fmt::Debug for WatchedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedClock")
    }
}
