//! How promptly does a CSP take over what it is told?
//!
//! A change counts from when it was recorded in the CSP's log: from then on it is sent. What lies before that, from the
//! commit of a flag to its projection, is the mesh's own doing and not the CSP's. The first acknowledgement at or past a
//! change ends it; what comes later about it changes nothing.
//!
//! What one acknowledgement covers is counted by hour, stage and bucket, so that a report reads few rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use mesh_api::convert::{duration_to_wire, timestamp_to_wire};
use mesh_api::csp_notification::v1 as wire;
use mesh_durations::{Bucket, Durations};
use mesh_types::{CspId, Timestamp};

const HOUR: i64 = 3_600_000_000;
/// A leap year.
const MOST_HOURS: i64 = 366 * 24;

/// What a change has come to. The numbers stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It is acknowledged.
    Acknowledged,
    /// The CSP has said when it was applied.
    Applied,
    /// The same, and it was before the change was recorded: clocks differ. It counts in the other one as well.
    AppliedBefore,
}

/// An hour in UTC, by its number since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour(i64);

/// Some hours in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hours(Range<Hour>);

/// Why hours are none that a report can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HoursError {
    /// The first instant is no whole hour.
    #[error("is no whole hour in UTC")]
    From,
    /// The end is no whole hour.
    #[error("is no whole hour in UTC")]
    Until,
    /// There are none, or too many.
    #[error("does not lie after `from_time`, or more than 366 days after it")]
    Length,
}

/// An acknowledgement that covers changes for the first time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    /// When it came.
    pub(crate) at: Timestamp,
    /// When the CSP had applied the last of them, by its own clock, if it said so.
    pub(crate) applied: Option<Timestamp>,
}

/// Changes that were taken over, by how long it took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<(Hour, Stage, Bucket), u64>);

/// How promptly a CSP took over the changes of some hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promptness {
    pub(crate) csp: CspId,
    /// Changes that were recorded.
    pub(crate) changes: u64,
    /// Of these, how many are acknowledged.
    pub(crate) acknowledged: u64,
    /// When the oldest of the others was recorded.
    pub(crate) oldest_not_acknowledged: Option<Timestamp>,
    pub(crate) until_acknowledged: Durations,
    pub(crate) until_applied: Durations,
    pub(crate) applied_before: u64,
}

// === impl Stage ===

impl Stage {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Acknowledged => 1,
            Self::Applied => 2,
            Self::AppliedBefore => 3,
        }
    }

    pub(crate) fn numbered(number: i64) -> Option<Self> {
        let all = [Self::Acknowledged, Self::Applied, Self::AppliedBefore];
        all.into_iter().find(|stage| stage.number() == number)
    }
}

// === impl Hour ===

impl Hour {
    pub(crate) const fn of(at: Timestamp) -> Self {
        Self(at.micros().div_euclid(HOUR))
    }

    pub(crate) const fn number(self) -> i64 {
        self.0
    }

    /// The hour that begins at this instant, if one does.
    fn beginning(at: Timestamp) -> Option<Self> {
        let hour = Self::of(at);
        (hour.start() == at).then_some(hour)
    }

    const fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(HOUR))
    }
}

// === impl Hours ===

impl Hours {
    /// Those from one instant up to another.
    pub(crate) fn between(from: Timestamp, until: Timestamp) -> Result<Self, HoursError> {
        let from = Hour::beginning(from).ok_or(HoursError::From)?;
        let until = Hour::beginning(until).ok_or(HoursError::Until)?;
        if !(1..=MOST_HOURS).contains(&(until.0 - from.0)) {
            return Err(HoursError::Length);
        }
        Ok(Self(from..until))
    }

    /// The first one.
    pub(crate) const fn first(&self) -> Hour {
        self.0.start
    }

    /// The first one after them.
    pub(crate) const fn after(&self) -> Hour {
        self.0.end
    }

    /// The last instants before the first, and before the one after them, as far as instants can be told apart.
    pub(crate) fn eves(&self) -> [Timestamp; 2] {
        [self.first(), self.after()].map(|hour| {
            let start = hour.start();
            start.saturating_sub(Duration::from_micros(1))
        })
    }
}

// === impl Acknowledged ===

impl Acknowledged {
    /// What has become of a change that was recorded at this instant, and how long it took.
    fn of(self, recorded: Timestamp) -> impl Iterator<Item = (Stage, Bucket)> {
        let took = move |until: Timestamp| Bucket::of(until.since(recorded));
        let before = self.applied.filter(|applied| *applied < recorded);
        let stages = [
            (Stage::Acknowledged, Some(self.at)),
            (Stage::Applied, self.applied),
            (Stage::AppliedBefore, before),
        ];
        let reached = stages.into_iter();
        reached.filter_map(move |(stage, until)| Some((stage, took(until?))))
    }
}

// === impl Counts ===

impl Counts {
    /// Counts `changes` that were recorded at the same instant.
    pub(crate) fn add(&mut self, by: Acknowledged, recorded: Timestamp, changes: u64) {
        for (stage, bucket) in by.of(recorded) {
            let key = (Hour::of(recorded), stage, bucket);
            *self.0.entry(key).or_default() += changes;
        }
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = ((Hour, Stage, Bucket), u64)> {
        self.0.into_iter()
    }
}

// === impl Promptness ===

impl Promptness {
    /// Counts changes of these hours that came to a stage.
    pub(crate) fn add(&mut self, stage: Stage, bucket: Bucket, changes: u64) {
        match stage {
            Stage::Acknowledged => self.until_acknowledged.add(bucket, changes),
            Stage::Applied => self.until_applied.add(bucket, changes),
            Stage::AppliedBefore => {
                self.applied_before = self.applied_before.saturating_add(changes);
            }
        }
    }

    /// Whether no more were timed than there are.
    pub(crate) fn is_possible(&self) -> bool {
        let timed = self.until_acknowledged.count();
        let applied = self.until_applied.count();
        timed <= self.acknowledged && applied <= timed && self.applied_before <= applied
    }

    pub(crate) fn to_wire(&self) -> wire::DeliveryRow {
        let timed = self.until_acknowledged.count();
        wire::DeliveryRow {
            csp_id: self.csp.to_string(),
            changes: self.changes,
            acknowledged: self.acknowledged,
            not_acknowledged: self.changes.saturating_sub(self.acknowledged),
            oldest_not_acknowledged_time: self.oldest_not_acknowledged.map(timestamp_to_wire),
            acknowledged_untimed: self.acknowledged.saturating_sub(timed),
            until_acknowledged: Some(times(&self.until_acknowledged)),
            until_applied: Some(times(&self.until_applied)),
            applied_before_recorded: self.applied_before,
        }
    }
}

fn times(durations: &Durations) -> wire::DeliveryTimes {
    let at = |per_thousand| durations.quantile(per_thousand).map(duration_to_wire);
    wire::DeliveryTimes {
        changes: durations.count(),
        median_duration: at(500),
        p95_duration: at(950),
        p99_duration: at(990),
        longest_duration: durations.max().map(duration_to_wire),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn hours_are_whole_and_not_too_many() {
        let between = |from, until| Hours::between(at(from), at(until));
        let two = between(-HOUR, HOUR).unwrap();
        assert_eq!((two.first(), two.after()), (Hour(-1), Hour(1)));
        assert_eq!(two.eves(), [at(-HOUR - 1), at(HOUR - 1)]);
        assert!(between(0, MOST_HOURS * HOUR).is_ok());
        for (from, until, expected) in [
            (1, HOUR, HoursError::From),
            (0, HOUR + 1, HoursError::Until),
            (HOUR, HOUR, HoursError::Length),
            (HOUR, 0, HoursError::Length),
            (0, (MOST_HOURS + 1) * HOUR, HoursError::Length),
        ] {
            assert_eq!(between(from, until), Err(expected), "{from} {until}");
        }
    }

    #[test]
    fn an_hour_is_that_of_the_record() {
        assert_eq!(Hour::of(at(HOUR - 1)), Hour(0));
        assert_eq!(Hour::of(at(HOUR)), Hour(1));
        assert_eq!(Hour::of(at(-1)), Hour(-1));
    }

    #[test]
    fn what_was_applied_before_it_was_recorded_took_no_time() {
        let recorded = at(10_000_000);
        let stages = |applied: Option<i64>| {
            let by = Acknowledged {
                at: at(10_003_000),
                applied: applied.map(at),
            };
            let stages = by.of(recorded);
            let stages = stages.map(|(stage, bucket)| (stage, bucket.millis()));
            stages.collect::<Vec<_>>()
        };
        let acknowledged = (Stage::Acknowledged, 3);
        assert_eq!(stages(None), [acknowledged]);
        let later = [acknowledged, (Stage::Applied, 2)];
        assert_eq!(stages(Some(10_002_000)), later);
        let at_once = [acknowledged, (Stage::Applied, 0)];
        assert_eq!(stages(Some(10_000_000)), at_once);
        let before = [acknowledged, (Stage::Applied, 0), (Stage::AppliedBefore, 0)];
        assert_eq!(stages(Some(9_999_999)), before);
    }

    #[test]
    fn stages_are_known_by_their_numbers() {
        for number in 1..=3 {
            assert_eq!(Stage::numbered(number).map(Stage::number), Some(number));
        }
        assert_eq!(Stage::numbered(0), None);
    }
}
