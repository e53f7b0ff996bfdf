//! Which instants does a report cover?
//!
//! A calendar month, in UTC or where Great Britain's clocks are. Figures are kept by [`Part`], of which a
//! month of either is made, so that no report of a month reads hour by hour.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::tz::TimeZone;
use mesh_types::{Interval, Timestamp};

use crate::month::{Month, MonthError};

/// Whose midnight begins a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// The clocks of Great Britain: `Europe/London`.
    London,
}

/// A calendar month in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The month.
    pub month: Month,
    /// Whose midnight begins it.
    pub zone: Zone,
}

/// A month in UTC without its last hour, or that hour alone. Written `2026-11` and `2026-11+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    month: Month,
    last_hour: bool,
}

/// An hour, from 1970-01-01T00:00:00Z on. Clocks in Great Britain differ from UTC by whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Zone {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Utc, Self::London];

    /// The name in the database of time zones.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::London => "Europe/London",
        }
    }

    /// What the build knows of the zone: the same everywhere, whatever the machine has.
    fn rules(self) -> TimeZone {
        match self {
            Self::Utc => TimeZone::UTC,
            Self::London => {
                const LONDON: TimeZone = jiff::tz::get!("Europe/London");
                LONDON
            }
        }
    }
}

impl Period {
    /// Its instants.
    #[must_use]
    pub fn interval(self) -> Interval {
        self.month.interval_in(&self.zone.rules())
    }

    /// The first part of it, and the first one after it: in their order it is made of all that lie between. Where the
    /// calendar ends there is none.
    #[must_use]
    pub fn bounds(self) -> (Option<Part>, Option<Part>) {
        let own = self.interval();
        (Part::of(own.start()).ok(), Part::of(own.end()).ok())
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(self) -> Vec<Part> {
        let (own, utc) = (self.interval(), Self::from(self.month).interval());
        let part = |month, last_hour| Part { month, last_hour };
        let mut parts = vec![part(self.month, false)];
        if own.end() >= utc.end() {
            parts.push(part(self.month, true));
        }
        if own.start() < utc.start()
            && let Ok(before) = Month::of(own.start())
        {
            parts.push(part(before, true));
        }
        parts
    }
}

/// The instants after `after` and up to `until` at which a month ends in one of the zones, in their order.
#[must_use]
pub fn ends_between(after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut ends = BTreeSet::new();
    let mut month = Month::of(after);
    while let Ok(this) = month {
        let of_zones = Zone::ALL.map(|zone| Period { month: this, zone }.interval().end());
        let between = of_zones
            .iter()
            .filter(|end| after < **end && **end <= until);
        ends.extend(between);
        // Midnight in London is never later.
        let end = Period::from(this).interval().end();
        if until < end {
            break;
        }
        month = Month::of(end);
    }
    ends.into_iter().collect()
}

impl From<Month> for Period {
    /// In UTC.
    fn from(month: Month) -> Self {
        Self {
            month,
            zone: Zone::Utc,
        }
    }
}

impl Part {
    /// The part in which `at` lies.
    pub fn of(at: Timestamp) -> Result<Self, MonthError> {
        let month = Month::of(at)?;
        Ok(Self {
            month,
            last_hour: Hour::of(at).next().start() == month.interval().end(),
        })
    }

    /// Both parts of a month in UTC.
    #[must_use]
    pub fn both(month: Month) -> [Self; 2] {
        [false, true].map(|last_hour| Self { month, last_hour })
    }

    /// Its hours.
    #[must_use]
    pub fn hours(self) -> Range<Hour> {
        let whole = self.month.interval();
        let (start, end) = (Hour::of(whole.start()), Hour::of(whole.end()));
        let last = Hour(end.0 - 1);
        if self.last_hour {
            last..end
        } else {
            start..last
        }
    }
}

impl Hour {
    const MICROS: i64 = 3_600_000_000;

    /// The hour in which `at` lies.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.micros().div_euclid(Self::MICROS))
    }

    /// The hour of this number.
    #[must_use]
    pub const fn numbered(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(Self::MICROS))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last_hour = if self.last_hour { "+" } else { "" };
        write!(f, "{}{last_hour}", self.month)
    }
}

impl FromStr for Part {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let (month, last_hour) = match text.strip_suffix('+') {
            Some(month) => (month, true),
            None => (text, false),
        };
        Ok(Self {
            month: month.parse()?,
            last_hour,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn london(month: &str) -> Period {
        Period {
            month: month.parse().unwrap(),
            zone: Zone::London,
        }
    }

    #[test]
    fn a_month_begins_at_midnight_in_great_britain() {
        for (month, start, end, parts) in [
            (
                "2026-01",
                "2026-01-01T00:00:00Z",
                "2026-02-01T00:00:00Z",
                "2026-01 2026-01+",
            ),
            // The clocks go forward on 29 March and back on 25 October.
            (
                "2026-03",
                "2026-03-01T00:00:00Z",
                "2026-03-31T23:00:00Z",
                "2026-03",
            ),
            (
                "2026-04",
                "2026-03-31T23:00:00Z",
                "2026-04-30T23:00:00Z",
                "2026-04 2026-03+",
            ),
            (
                "2026-10",
                "2026-09-30T23:00:00Z",
                "2026-11-01T00:00:00Z",
                "2026-10 2026-10+ 2026-09+",
            ),
            (
                "2026-11",
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
                "2026-11 2026-11+",
            ),
        ] {
            let period = london(month);
            let expected = Interval::new(at(start), Some(at(end))).unwrap();
            assert_eq!(period.interval(), expected, "{month}");
            let made_of: Vec<_> = period.parts().iter().map(ToString::to_string).collect();
            assert_eq!(made_of.join(" "), parts, "{month}");
        }
        let utc = Period::from("2026-04".parse::<Month>().unwrap());
        let made_of: Vec<_> = utc.parts().iter().map(ToString::to_string).collect();
        assert_eq!(made_of, ["2026-04", "2026-04+"]);
    }

    #[test]
    fn months_end_at_midnight_in_either_zone() {
        let ends = |after: &str, until: &str| {
            let ends = ends_between(at(after), at(until)).into_iter();
            let texts = ends.map(|end| {
                let end = jiff::Timestamp::from_microsecond(end.micros()).unwrap();
                end.to_string()
            });
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            ends("2026-08-31T23:00:00Z", "2026-11-01T00:00:00Z"),
            [
                "2026-09-01T00:00:00Z",
                "2026-09-30T23:00:00Z",
                "2026-10-01T00:00:00Z",
                "2026-11-01T00:00:00Z",
            ]
        );
        assert_eq!(
            ends("2026-08-31T22:59:59Z", "2026-08-31T23:00:00Z"),
            ["2026-08-31T23:00:00Z"]
        );
        assert_eq!(
            ends("2026-11-01T00:00:00Z", "2026-11-30T23:59:59Z"),
            [""; 0]
        );
        assert_eq!(
            ends("2026-12-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            [""; 0]
        );
        assert_eq!(ends_between(Timestamp::FOREVER, Timestamp::FOREVER), []);
    }

    proptest! {
        /// Of all periods of a zone, one has the part of an instant, and that is the one of the instant.
        #[test]
        fn the_parts_of_a_period_are_its_instants(
            micros in 1_477_958_400_000_000_i64..4_102_444_800_000_000,
            near in prop::sample::select(vec![None, Some(-3_600_000_000_i64), Some(-1), Some(0), Some(3_599_999_999)]),
        ) {
            let mut at = Timestamp::from_micros(micros);
            if let Some(by) = near {
                // The edges of a month are where a mistake would be.
                let edge = Month::of(at).unwrap().interval().end();
                at = Timestamp::from_micros(edge.micros() + by);
            }
            let part = Part::of(at).unwrap();
            prop_assert_eq!(part.to_string().parse::<Part>(), Ok(part));
            prop_assert!(part.hours().contains(&Hour::of(at)));
            let month = Month::of(at).unwrap();
            let after = Month::of(month.interval().end()).unwrap();
            let before = Month::of(Timestamp::from_micros(month.interval().start().micros() - 1)).unwrap();
            for zone in Zone::ALL {
                for month in [before, month, after] {
                    let period = Period { month, zone };
                    let has = period.parts().contains(&part);
                    prop_assert_eq!(has, period.interval().contains(at), "{:?} {:?}", period, part);
                    let (Some(first), Some(after)) = period.bounds() else { panic!("{period:?}") };
                    prop_assert_eq!(has, first <= part && part < after, "{:?} {:?}", period, part);
                    prop_assert_eq!(first <= part, first.to_string() <= part.to_string());
                    prop_assert_eq!(part < after, part.to_string() < after.to_string());
                }
            }
        }
    }
}
