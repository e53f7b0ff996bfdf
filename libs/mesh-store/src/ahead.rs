//! Does a log have events of a time to come?

use mesh_types::belief::MOST_AHEAD;
use mesh_types::{Doubt, Timestamp};

/// The latest time that a clock which shows `now` is not ahead of by too much.
pub(crate) fn most_ahead(now: Timestamp) -> Timestamp {
    now.saturating_add(MOST_AHEAD)
}

/// That a log whose last event was recorded at `last` is ahead of a clock that shows `now`: no event
/// could follow with its own time.
pub(crate) fn ahead_of(now: Timestamp, last: Timestamp) -> Option<Doubt> {
    let ahead = last.since(now);
    (ahead > MOST_AHEAD).then_some(Doubt::LogAhead(ahead))
}
