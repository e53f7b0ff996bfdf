//! How does the service keep up with the logs that its reports rest on?

mod devices;
mod flags;

pub use devices::follow_devices;
pub use flags::follow_flags;

use std::time::Duration;

use mesh_follow::FollowError;
use mesh_rpc::link_to;
use mesh_types::Timestamp;
use tracing::Span;

use crate::store::Stale;

/// No report is in such a hurry that each event needs a commit of its own: with a busy log this is how
/// late one may be.
const REST: Duration = Duration::from_millis(50);

/// An event has the time at which its transaction began. One that is being committed while the owner of the log looks at
/// it is older than that look by less than this.
const UNDER_WAY: i64 = 60 * 1_000_000;

/// Up to which instant all events are there if the owner of the log sent all that it saw when it `looked`.
const fn before(looked: Timestamp) -> Timestamp {
    Timestamp::from_micros(looked.micros().saturating_sub(UNDER_WAY))
}

/// The span of applying events, linked to the requests that caused them.
fn apply_span<'a>(log: &'static str, causes: impl Iterator<Item = &'a str>) -> Span {
    let span = tracing::info_span!("apply", mp169.service = "reporting", mp169.log = log);
    for cause in causes.filter(|cause| !cause.is_empty()) {
        link_to(&span, cause);
    }
    span
}

impl From<Stale> for FollowError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}
