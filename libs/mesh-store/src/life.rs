//! When has a kept answer had its life, whatever the clock does?
//!
//! Not when the clock says so: one that jumps a year ahead would end the life of every answer at once,
//! and a caller who asks again would write a second time. A database counts its own [`Age`] instead
//! (see `docs/adr/2026-11-28-kept-answers-live-thirty-days.md`).

use std::time::Duration;

use mesh_types::Timestamp;

/// How long answers are kept, by the age of their database. What is promised is thirty days: the
/// rest makes good for a clock that jumps ahead, [`MOST_AT_ONCE`] each time.
pub(crate) const LIFE: Duration = Duration::from_hours(35 * 24);

/// The most that a database ages from one look at the clock to the next.
const MOST_AT_ONCE: Duration = Duration::from_hours(6);

/// How old a database is, counted from the clock's time at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// The age: what answers that are kept now are dated.
    pub(crate) now: Timestamp,
    /// What the clock showed when it was counted.
    pub(crate) seen: Timestamp,
}

impl Age {
    /// Of a database that begins.
    pub(crate) const fn beginning(clock: Timestamp) -> Self {
        Self {
            now: clock,
            seen: clock,
        }
    }

    /// The age when the clock shows `clock`. A clock that went back has it stand still for once; one
    /// that went far ahead, or that nobody looked at for long, adds six hours and no more.
    pub(crate) fn at(self, clock: Timestamp) -> Self {
        let passed = clock.since(self.seen).min(MOST_AT_ONCE);
        Self {
            now: self.now.saturating_add(passed),
            seen: clock,
        }
    }

    /// Answers that are dated before have expired.
    pub(crate) fn horizon(self) -> Timestamp {
        let life = i64::try_from(LIFE.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.now.micros().saturating_sub(life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * 1_000_000;
    const THIRTY_DAYS: i64 = 30 * 24 * HOUR;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn the_age_goes_on_with_a_clock_that_goes_right() {
        let mut age = Age::beginning(at(7));
        for hours in 1..=100 {
            age = age.at(at(7 + hours * HOUR));
            assert_eq!(age.now, at(7 + hours * HOUR));
        }
        assert_eq!(age.horizon(), at(7 + (100 - 35 * 24) * HOUR));
    }

    #[test]
    fn the_age_does_not_jump_with_the_clock() {
        let age = Age::beginning(at(0));
        let ahead = age.at(at(1_000_000 * HOUR));
        assert_eq!(ahead.now, at(6 * HOUR));
        let back = ahead.at(at(HOUR));
        assert_eq!(back.now, at(6 * HOUR));
        assert_eq!(back.at(at(2 * HOUR)).now, at(7 * HOUR));
        assert_eq!(age.at(Timestamp::FOREVER).at(at(i64::MIN)).now, ahead.now);
    }

    /// However the clock is set, twenty times ahead within the month, and however often it is looked
    /// at: no answer is younger than thirty days when its life is over.
    #[test]
    fn nothing_is_forgotten_within_thirty_days() {
        for pace in [HOUR / 60, HOUR, 5 * HOUR, 6 * HOUR, 11 * HOUR] {
            for ahead in [HOUR, 7 * HOUR, 1_000_000 * HOUR] {
                let mut age = Age::beginning(at(0));
                let (mut real, mut jumps) = (0, 0);
                while real < THIRTY_DAYS {
                    real += pace;
                    age = age.at(at(real));
                    if jumps < 20 {
                        jumps += 2;
                        age = age.at(at(real + ahead)).at(at(real - ahead)).at(at(real));
                    }
                    assert!(age.horizon() <= at(0), "after {real} with {jumps} jumps");
                }
            }
        }
    }
}
