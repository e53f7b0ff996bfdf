//! From when until when does a certificate hold?

use std::time::Duration;

use mesh_types::{Clock, Timestamp};
use time::OffsetDateTime;

use crate::PkiError;

/// How far the start is put back, so that a peer whose clock is behind accepts the certificate.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The period in which a certificate holds. X.509 keeps whole seconds; fractions are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Validity {
    /// From `not_before` until `not_after`, both inclusive as X.509 has it.
    #[must_use]
    pub const fn between(not_before: Timestamp, not_after: Timestamp) -> Self {
        Self {
            not_before,
            not_after,
        }
    }

    /// From five minutes before now (for clocks that are behind) until `length` after now.
    #[must_use]
    pub fn starting_now(clock: &dyn Clock, length: Duration) -> Self {
        let now = clock.now();
        Self {
            not_before: back(now, CLOCK_SKEW),
            not_after: now.saturating_add(length),
        }
    }

    /// A period of one hour that ended an hour ago: for tests of refusal.
    #[must_use]
    pub fn over(clock: &dyn Clock) -> Self {
        let hour = Duration::from_hours(1);
        let end = back(clock.now(), hour);
        Self::between(back(end, hour), end)
    }

    /// A period of one hour that starts in an hour: for tests of refusal.
    #[must_use]
    pub fn to_come(clock: &dyn Clock) -> Self {
        let hour = Duration::from_hours(1);
        let start = clock.now().saturating_add(hour);
        Self::between(start, start.saturating_add(hour))
    }

    /// The last instant at which the certificate holds.
    #[must_use]
    pub const fn not_after(self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn bounds(self) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
        let date = |at: Timestamp| {
            OffsetDateTime::from_unix_timestamp(at.micros().div_euclid(1_000_000))
                .map_err(|_| PkiError::Certificate(rcgen::Error::Time))
        };
        Ok((date(self.not_before)?, date(self.not_after)?))
    }
}

fn back(at: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(at.micros().saturating_sub(micros))
}
