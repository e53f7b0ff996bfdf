//! How long before its end does a connection take no new calls?
//!
//! A connection ends with the first of the two certificates on it, and many end with the same one: that of
//! their server. So each draws a lot, that not all come back at one moment.

use std::time::Duration;

/// At most so long before a certificate ends, its connections begin to take no new calls.
const FIRST: Duration = Duration::from_secs(40);
/// At most so long before, the last of them does.
const LAST: Duration = Duration::from_secs(10);
/// How long the calls of a connection may go on once its peer is accepted no more: enough for a last
/// message to the other end of the world and back.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// So long before the end of what `remains`, by a `lot` between 0 and 1: with time for the calls to end, and
/// never most of it.
pub(crate) fn lead(remains: Duration, lot: f64) -> Duration {
    let last = LAST.min(remains / 10).max(GRACE.min(remains / 2));
    let first = FIRST.min(remains / 5).max(last);
    last + (first - last).mul_f64(lot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_in_time_by_lot_and_not_before_a_short_certificate_was_of_use() {
        for (remains, last, first) in [
            (86_400, 10, 40),
            (100, 10, 20),
            (50, 5, 10),
            (10, 2, 2),
            (2, 1, 1),
            (0, 0, 0),
        ] {
            let lead = |lot| lead(Duration::from_secs(remains), lot);
            assert_eq!(lead(0.0), Duration::from_secs(last), "{remains}");
            assert_eq!(lead(1.0), Duration::from_secs(first), "{remains}");
            assert!(lead(0.5) >= lead(0.0) && lead(0.5) <= lead(1.0));
        }
    }
}
