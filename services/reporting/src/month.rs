//! What is a calendar month, and when does it begin?

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use mesh_types::{Interval, Timestamp};

/// A calendar month, from 0001-01 to 9999-12; written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// Its first day.
    first: Date,
}

/// The text is not a month, or the instant lies in none that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is a year of four digits and a month of two, such as 2026-11")]
pub struct MonthError;

impl Month {
    /// The month in which `at` lies, in UTC.
    pub fn of(at: Timestamp) -> Result<Self, MonthError> {
        let at = jiff::Timestamp::from_microsecond(at.micros()).map_err(|_| MonthError)?;
        let date = at.to_zoned(TimeZone::UTC).date();
        Self::starting(date.first_of_month())
    }

    /// Its instants in UTC.
    #[must_use]
    pub fn interval(self) -> Interval {
        self.interval_in(&TimeZone::UTC)
    }

    /// Its instants where clocks go by `zone`.
    pub(crate) fn interval_in(self, zone: &TimeZone) -> Interval {
        let midnight = |day| midnight(day, zone);
        let start = midnight(self.first).unwrap_or(Timestamp::from_micros(i64::MIN));
        // The day after the last month that can be written is out of the calendar's range.
        let end = self
            .first
            .last_of_month()
            .tomorrow()
            .ok()
            .and_then(midnight);
        Interval::new(start, end).expect("a month ends after it starts")
    }

    fn starting(first: Date) -> Result<Self, MonthError> {
        if first.year() >= 1 {
            Ok(Self { first })
        } else {
            Err(MonthError)
        }
    }
}

fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    let at = day.to_zoned(zone.clone()).ok()?;
    Some(Timestamp::from_micros(at.timestamp().as_microsecond()))
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or(MonthError)?;
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(MonthError);
        }
        let year = year.parse().map_err(|_| MonthError)?;
        let month = month.parse().map_err(|_| MonthError)?;
        Self::starting(Date::new(year, month, 1).map_err(|_| MonthError)?)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn months_are_half_open_in_utc() {
        let bounds = |month: &str| month.parse::<Month>().unwrap().interval();
        for (month, start, end) in [
            ("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            // Neither the start nor the end of British Summer Time moves a bound.
            ("2026-03", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("2026-10", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ] {
            assert_eq!(
                bounds(month),
                Interval::new(at(start), Some(at(end))).unwrap()
            );
        }
        assert_eq!(
            Month::of(at("2026-10-31T23:59:59.999999Z")),
            "2026-10".parse()
        );
        assert_eq!(Month::of(at("2026-11-01T00:00:00Z")), "2026-11".parse());
        assert_eq!(bounds("9999-12").closed_end(), None);
    }

    #[test]
    fn what_is_not_a_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-1",
            "2026-13",
            "2026-00",
            "0000-01",
            "26-11",
            "2026-11-01",
            " 2026-11",
            "+026-11",
            "2026/11",
            "2026-1١",
        ] {
            assert_eq!(text.parse::<Month>(), Err(MonthError), "{text}");
        }
        assert_eq!(Month::of(Timestamp::FOREVER), Err(MonthError));
    }

    proptest! {
        /// Every instant lies in its month and in no other, and the month is read as written.
        #[test]
        fn every_instant_has_one_month(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let at = Timestamp::from_micros(micros);
            let month = Month::of(at).unwrap();
            prop_assert!(month.interval().contains(at));
            prop_assert_eq!(month.to_string().parse::<Month>(), Ok(month));
            if let Some(end) = month.interval().closed_end() {
                prop_assert!(Month::of(end).unwrap() > month);
            }
        }
    }
}
