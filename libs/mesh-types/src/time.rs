//! Instants and half-open intervals.

use std::fmt;
use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z, as both storage engines hold them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than every instant that can be recorded: the open end of an interval.
    pub const FOREVER: Self = Self(i64::MAX);

    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant and `by` more, never past [`Timestamp::FOREVER`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// The instant `by` before this one.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long it is from `earlier` to this instant; nothing if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// The instants from `start` up to but not including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    start: Timestamp,
    end: Timestamp,
}

/// The end does not lie after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an interval ends after it starts")]
pub struct IntervalError;

impl Interval {
    /// The interval `[start, end)`; `None` leaves it open.
    pub fn new(start: Timestamp, end: Option<Timestamp>) -> Result<Self, IntervalError> {
        let end = end.unwrap_or(Timestamp::FOREVER);
        if start < end {
            Ok(Self { start, end })
        } else {
            Err(IntervalError)
        }
    }

    /// The first instant in the interval.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after the interval; [`Timestamp::FOREVER`] if it is open.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// The first instant after the interval, if it has an end.
    #[must_use]
    pub fn closed_end(self) -> Option<Timestamp> {
        (self.end != Timestamp::FOREVER).then_some(self.end)
    }

    /// Whether `at` lies in the interval.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether some instant lies in both intervals.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_half_open() {
        let at = Timestamp::from_micros;
        let first = Interval::new(at(1), Some(at(5))).unwrap();
        let second = Interval::new(at(5), None).unwrap();
        assert!(first.contains(at(1)) && !first.contains(at(5)) && second.contains(at(5)));
        assert!(!first.overlaps(second) && !second.overlaps(first));
        assert!(first.overlaps(Interval::new(at(4), Some(at(6))).unwrap()));
        assert_eq!(Interval::new(at(5), Some(at(5))), Err(IntervalError));
        assert_eq!(second.closed_end(), None);
    }
}
