//! Which instants can a caller mean?
//!
//! A time that is centuries off is a mistake of whoever sent it: a year mistyped, a unit confused, the
//! "end of time" of another system. What it would cost to record it is paid later, by others.

use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The instants that a field of a request may hold.
///
/// The first one is fixed and the last one moves on with the clock. So a request that was within
/// bounds still is when it is sent again, however much later. Only while the clock shows an earlier time
/// than it did then can it be refused, although its answer is kept.
///
/// Only what comes in is judged: what was recorded before there were bounds is read as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    first: Timestamp,
    /// The day that begins with `first`, and what was not there before, for people.
    since: &'static str,
    ahead: Duration,
}

/// The instant is none that a caller can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// It lies before the first instant.
    #[error("lies before {0}")]
    TooEarly(&'static str),
    /// It lies further ahead of the clock than this.
    #[error("lies {}", Ahead(*.0))]
    TooLate(Duration),
}

impl Bounds {
    /// Starts and ends of registrations. Nobody needed a licence to supply gas or electricity before the
    /// Gas Act 1986. The Retail Energy Code lets a supplier ask for a switch 28 days ahead; three times
    /// that leaves room for what else is announced, and still finds a mistyped year.
    pub const SUPPLY: Self = Self {
        first: Timestamp::from_micros(504_921_600_000_000),
        since: "1986-01-01, when nobody was licensed to supply gas or electricity",
        ahead: DAY.saturating_mul(90),
    };

    /// Since when a Device has its SMI status. Trials of smart meters by the specification that became
    /// SMETS1 began in 2011. A status is observed, not announced: the five minutes are for clocks that
    /// do not agree.
    pub const SMI_STATUS: Self = Self {
        first: Timestamp::from_micros(1_293_840_000_000_000),
        since: "2011-01-01, when no Device was built to any SMETS",
        ahead: MINUTE.saturating_mul(5),
    };

    /// What a supplier tells of a consumer with a Device that can be flagged: a choice, a step that was
    /// taken, a tenancy. The DCC's service for SMETS2 Devices began in November 2016.
    pub const CONSUMER: Self = Self {
        first: Timestamp::from_micros(1_477_958_400_000_000),
        since: "2016-11-01, when no SMETS2 Device was in use",
        ahead: Duration::ZERO,
    };

    /// When a CSP applied what it acknowledges, by its own clock.
    pub const APPLIED: Self = Self {
        ahead: MINUTE.saturating_mul(5),
        ..Self::CONSUMER
    };

    /// When a Service Request was sent or executed, by the clock of whoever tells of it.
    pub const SENT: Self = Self {
        since: "2016-11-01, when the DCC carried no Service Request yet",
        ..Self::APPLIED
    };

    /// The instant, if it can be meant by the clock that shows `now`.
    pub fn check(self, at: Timestamp, now: Timestamp) -> Result<Timestamp, OutOfBounds> {
        let at = self.check_first(at)?;
        if at > now.saturating_add(self.ahead) {
            return Err(OutOfBounds::TooLate(self.ahead));
        }
        Ok(at)
    }

    /// The instant, if it is not too early. For a field about whose future another rule decides.
    pub fn check_first(self, at: Timestamp) -> Result<Timestamp, OutOfBounds> {
        if at < self.first {
            return Err(OutOfBounds::TooEarly(self.since));
        }
        Ok(at)
    }
}

/// How far ahead, for people.
struct Ahead(Duration);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |unit: Duration| self.0.as_secs() / unit.as_secs();
        match (of(DAY), of(MINUTE)) {
            (_, 0) => f.write_str("in the future"),
            (0, minutes) => write!(f, "more than {minutes} minutes ahead"),
            (days, _) => write!(f, "more than {days} days ahead"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Bounds; 5] = [
        Bounds::SENT,
        Bounds::SUPPLY,
        Bounds::SMI_STATUS,
        Bounds::CONSUMER,
        Bounds::APPLIED,
    ];

    /// 2026-11-28T12:00:00Z.
    const NOW: Timestamp = Timestamp::from_micros(1_795_867_200_000_000);

    fn told(bounds: Bounds, at: i64) -> String {
        let found = bounds.check(Timestamp::from_micros(at), NOW);
        found.map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn the_first_instant_is_the_day_that_is_told() {
        for bounds in ALL {
            let (day, _) = bounds.since.split_once(',').unwrap();
            let midnight: jiff::Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
            assert_eq!(bounds.first.micros(), midnight.as_microsecond(), "{day}");
        }
    }

    #[test]
    fn a_refusal_says_the_bound() {
        let (now, second) = (NOW.micros(), 1_000_000);
        for (bounds, first, day, ahead, told_ahead) in [
            (
                Bounds::SUPPLY,
                504_921_600,
                "1986-01-01",
                90 * 86_400,
                "lies more than 90 days ahead",
            ),
            (
                Bounds::SMI_STATUS,
                1_293_840_000,
                "2011-01-01",
                300,
                "lies more than 5 minutes ahead",
            ),
            (
                Bounds::CONSUMER,
                1_477_958_400,
                "2016-11-01",
                0,
                "lies in the future",
            ),
            (
                Bounds::APPLIED,
                1_477_958_400,
                "2016-11-01",
                300,
                "lies more than 5 minutes ahead",
            ),
        ] {
            let (first, last) = (first * second, now + ahead * second);
            assert_eq!(told(bounds, first), "");
            assert_eq!(told(bounds, last), "");
            assert_eq!(told(bounds, last + 1), told_ahead);
            let early = told(bounds, first - 1);
            assert!(
                early.starts_with(&format!("lies before {day}, when ")),
                "{early}"
            );
            // As much as a refusal tells of a field.
            assert!(early.len() <= 100, "{early}");
        }
    }

    proptest! {
        /// Whoever sends a request again is not refused for what was accepted.
        #[test]
        fn what_is_within_bounds_stays_so(at: i64, now: i64, later: u64) {
            let now = Timestamp::from_micros(now);
            let later = now.saturating_add(Duration::from_micros(later));
            let at = Timestamp::from_micros(at);
            for bounds in ALL {
                let found = bounds.check(at, now);
                prop_assert_eq!(found.is_ok(), bounds.first <= at && at.since(now) <= bounds.ahead);
                if found.is_ok() {
                    prop_assert_eq!(bounds.check(at, later), Ok(at));
                }
            }
        }
    }
}
