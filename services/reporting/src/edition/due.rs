//! Which months are to be closed or restated now?
//!
//! One rule for both: once the log `flags` is whole up to the month's end and the grace after it, and the first
//! outcome that is in no edition has been there for the grace, too. So a producer has the grace to send the rest,
//! whether it is late with a month or loads one of long ago, and later trickles delay nothing for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_types::Timestamp;

use crate::month::Month;
use crate::period::{Part, Period, Zone};

/// How long producers have for what is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(pub Duration);

/// An edition that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The month.
    pub period: Period,
    /// 0 is the closed report.
    pub restatement: u32,
    /// Its number among those of all months.
    pub number: u64,
}

/// Outcomes of a part that came into one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The part.
    pub part: Part,
    /// The number of the last edition of any month that there was.
    pub layer: u64,
    /// When the first of them came.
    pub since: Timestamp,
}

/// An edition to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The month.
    pub period: Period,
    /// 0 is the closed report.
    pub restatement: u32,
}

impl Default for Grace {
    /// Five days.
    fn default() -> Self {
        Self::of_days(5)
    }
}

impl Grace {
    /// So many days.
    #[must_use]
    pub fn of_days(days: u16) -> Self {
        Self(Duration::from_hours(u64::from(days) * 24))
    }

    fn after(self, at: Timestamp) -> Timestamp {
        let micros = i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(at.micros().saturating_add(micros))
    }
}

/// The editions that are due at `now`, in the order of their months.
#[must_use]
pub fn due(
    made: &[Made],
    counted: &[Counted],
    settled_until: Timestamp,
    now: Timestamp,
    grace: Grace,
) -> Vec<Due> {
    let mut last: BTreeMap<Period, &Made> = BTreeMap::new();
    for one in made {
        let last = last.entry(one.period).or_insert(one);
        if last.restatement < one.restatement {
            *last = one;
        }
    }
    let periods: BTreeSet<Period> = counted.iter().flat_map(|one| periods(one.part)).collect();
    let due = periods.into_iter().filter_map(|period| {
        let last = last.get(&period);
        let covered = last.map_or(0, |last| last.number);
        let parts = period.parts();
        let waiting = counted
            .iter()
            .filter(|one| one.layer >= covered && parts.contains(&one.part))
            .map(|one| one.since)
            .min()?;
        let is_due =
            settled_until >= grace.after(period.interval().end()) && now >= grace.after(waiting);
        is_due.then_some(Due {
            period,
            restatement: last.map_or(0, |last| last.restatement.saturating_add(1)),
        })
    });
    due.collect()
}

/// The months that a part is in: one of each zone.
fn periods(part: Part) -> impl Iterator<Item = Period> {
    let hours = part.hours();
    let own = Month::of(hours.start.start());
    let next = own.and_then(|own| Month::of(own.interval().end()));
    let months = [own, next].into_iter().flatten();
    months
        .flat_map(|month| Zone::ALL.map(|zone| Period { month, zone }))
        .filter(move |period| period.parts().contains(&part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 3_600_000_000;

    fn part(text: &str) -> Part {
        text.parse().unwrap()
    }

    fn period(month: &str, zone: Zone) -> Period {
        Period {
            month: month.parse().unwrap(),
            zone,
        }
    }

    fn end(period: Period) -> i64 {
        period.interval().end().micros()
    }

    fn named(due: &[Due]) -> Vec<String> {
        due.iter()
            .map(|due| {
                let Period { month, zone } = due.period;
                format!("{month} {} {}", zone.name(), due.restatement)
            })
            .collect()
    }

    #[test]
    fn a_part_is_in_one_month_of_each_zone() {
        for (part_of, months) in [
            ("2026-11", ["2026-11 UTC", "2026-11 Europe/London"]),
            ("2026-11+", ["2026-11 UTC", "2026-11 Europe/London"]),
            ("2026-06+", ["2026-06 UTC", "2026-07 Europe/London"]),
            // The clocks go forward in March and back in October.
            ("2026-03+", ["2026-03 UTC", "2026-04 Europe/London"]),
            ("2026-10+", ["2026-10 UTC", "2026-10 Europe/London"]),
        ] {
            let found: Vec<String> = periods(part(part_of))
                .map(|period| format!("{} {}", period.month, period.zone.name()))
                .collect();
            assert_eq!(found, months, "{part_of}");
        }
    }

    #[test]
    fn a_month_is_due_after_the_grace_and_after_what_came_late() {
        let [utc, london] = [Zone::Utc, Zone::London].map(|zone| period("2026-06", zone));
        let at = Timestamp::from_micros;
        let grace = Grace::default();
        let mut counted = vec![Counted {
            part: part("2026-06"),
            layer: 0,
            since: at(end(utc) - 20 * DAY),
        }];
        let asked = |made: &[Made], counted: &[Counted], settled: i64, now: i64| {
            named(&due(made, counted, at(settled), at(now), grace))
        };
        let full = end(utc) + 5 * DAY;
        assert!(asked(&[], &counted, full - 2 * 3_600_000_000, full).is_empty());
        // June ends an hour earlier in Great Britain.
        assert_eq!(
            asked(&[], &counted, full - 1, full),
            ["2026-06 Europe/London 0"]
        );
        let both = ["2026-06 UTC 0", "2026-06 Europe/London 0"];
        assert_eq!(asked(&[], &counted, full, full), both);
        // A month of long ago that is being loaded.
        counted[0].since = at(full + 90 * DAY);
        assert!(asked(&[], &counted, full + 90 * DAY, full + 95 * DAY - 1).is_empty());
        assert_eq!(asked(&[], &counted, full + 90 * DAY, full + 95 * DAY), both);

        let made = [(utc, 1), (london, 2)].map(|(period, number)| Made {
            period,
            restatement: 0,
            number,
        });
        assert!(asked(&made, &counted, full + 99 * DAY, full + 99 * DAY).is_empty());
        // It came between the two editions, so that one of them has it.
        counted.push(Counted {
            part: part("2026-06"),
            layer: 1,
            since: at(full + 96 * DAY),
        });
        let later = full + 101 * DAY;
        assert!(asked(&made, &counted, later, later - 1).is_empty());
        assert_eq!(asked(&made, &counted, later, later), ["2026-06 UTC 1"]);
    }

    proptest! {
        /// Once what is due is made, nothing is due until something comes; and what has come is due in the end.
        #[test]
        fn whatever_comes_is_in_an_edition_in_the_end(
            comings in prop::collection::vec((0_usize..6, 0_i64..90), 1..30),
        ) {
            let parts = ["2026-03", "2026-03+", "2026-04", "2026-04+", "2026-10+", "2026-11"];
            let begin = end(period("2026-03", Zone::Utc));
            let (mut made, mut counted) = (Vec::<Made>::new(), Vec::<Counted>::new());
            let mut now = begin;
            let grace = Grace::default();
            for (of, later) in comings {
                now += later * DAY / 4;
                counted.push(Counted {
                    part: part(parts[of]),
                    layer: made.len() as u64,
                    since: Timestamp::from_micros(now),
                });
                for due in due(&made, &counted, Timestamp::from_micros(now), Timestamp::from_micros(now), grace) {
                    made.push(Made {
                        period: due.period,
                        restatement: due.restatement,
                        number: made.len() as u64 + 1,
                    });
                }
            }
            let end = Timestamp::from_micros(now + 400 * DAY);
            for due in due(&made, &counted, end, end, grace) {
                made.push(Made {
                    period: due.period,
                    restatement: due.restatement,
                    number: made.len() as u64 + 1,
                });
            }
            prop_assert!(due(&made, &counted, end, end, grace).is_empty());
            for one in &counted {
                for period in periods(one.part) {
                    let of_month = made.iter().filter(|made| made.period == period);
                    let restatements: Vec<u32> = of_month.clone().map(|made| made.restatement).collect();
                    let all: Vec<u32> = (0_u32..).take(restatements.len()).collect();
                    prop_assert_eq!(restatements, all);
                    let is_in = of_month.clone().any(|made| one.layer < made.number);
                    prop_assert!(is_in, "{:?} {:?}", one, period);
                }
            }
        }
    }
}
