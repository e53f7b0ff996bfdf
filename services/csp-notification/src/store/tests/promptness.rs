//! How promptly changes were taken over is counted once, whatever is acknowledged again.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_durations::{Bucket, Durations};
use mesh_store::conformance::{behind, carry_out};
use mesh_store::fold::Unlike;
use mesh_store::sql::query_as;
use mesh_types::{Position, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::state::compared;
use super::{Fixture, Fresh, SET, flags, followed, name, resync, told};
use crate::promptness::{Hours, Promptness};
use crate::store::{Command, promptness, promptness_after, subscription};
use crate::subscription::OwnCsp;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn hours(from: i64, until: i64) -> Hours {
    Hours::between(at(from * HOUR), at(until * HOUR)).unwrap()
}

impl Fixture {
    /// Records `changes` of North's, at this instant.
    async fn recorded(&self, micros: i64, changes: u16) {
        self.clock.set(at(micros));
        let told = (0..changes).map(|number| {
            let [_, low] = number.to_be_bytes();
            vec![told("north", low, 0xC1, SET, 0)]
        });
        self.project(told.collect()).await;
    }

    async fn acknowledged(&self, micros: i64, sequence: u64, applied: Option<i64>) {
        self.clock.set(at(micros));
        let csp = OwnCsp::unchecked("north");
        let sent = Command::Sent(csp.clone(), 0, sequence);
        self.write(sent).await.unwrap();
        let found = subscription(&self.store, csp.csp()).await.unwrap();
        let acknowledge = Command::Acknowledge {
            csp,
            up_to: Position {
                sequence,
                ..found.unwrap().head
            },
            applied_time: applied.map(at),
        };
        self.write(acknowledge).await.unwrap();
    }

    async fn north(&self, from: i64, until: i64) -> Promptness {
        let hours = hours(from, until);
        let found = promptness(&self.store, &name("north"), &hours).await;
        found.unwrap().unwrap()
    }

    async fn rows(&self) -> Vec<(i64, i64, i64, i64)> {
        let mut conn = self.store.readers().acquire().await.unwrap();
        let rows = query_as(
            "SELECT hour, stage, bucket, changes FROM delivery_count \
             ORDER BY csp, hour, stage, bucket",
        );
        rows.fetch_all(&mut conn).await.unwrap()
    }
}

/// In milliseconds, with how many there are of each.
fn millis(durations: &Durations) -> Vec<(u64, u64)> {
    let rows = durations.rows();
    rows.map(|(bucket, count)| (bucket.millis(), count))
        .collect()
}

pub(super) async fn each_change_is_counted_when_it_is_first_acknowledged(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture.recorded(0, 3).await;
    fixture.recorded(SECOND, 1).await;
    let applied = Some(3 * SECOND / 2);
    // Two acknowledgements split what there is; the second says nothing of when it was applied.
    fixture.acknowledged(2 * SECOND, 2, applied).await;
    let first = fixture.rows().await;
    assert_eq!(first, [(0, 1, 2_007, 2), (0, 2, 1_503, 2)]);
    // The same again and an older one, with whatever time.
    fixture.acknowledged(9 * SECOND, 2, Some(0)).await;
    fixture.acknowledged(9 * SECOND, 1, applied).await;
    assert_eq!(fixture.rows().await, first);
    fixture.acknowledged(9 * SECOND, 4, None).await;

    let found = fixture.north(0, 1).await;
    assert_eq!((found.changes, found.acknowledged), (4, 4));
    assert_eq!(found.oldest_not_acknowledged, None);
    let until_acknowledged = [(2_007, 2), (8_031, 1), (9_023, 1)];
    assert_eq!(millis(&found.until_acknowledged), until_acknowledged);
    assert_eq!(millis(&found.until_applied), [(1_503, 2)]);
    assert_eq!(found.applied_before, 0);
    assert_eq!(compared(&fixture).await.1, []);
}

/// They may go into one transaction, in which nothing is there to be read that it appends.
pub(super) async fn commands_that_come_together_count_each_change_once(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture.recorded(0, 2).await;
    let csp = OwnCsp::unchecked("north");
    let found = subscription(&fixture.store, csp.csp()).await.unwrap();
    let head = found.unwrap().head;
    let acknowledge = |sequence| {
        fixture.write(Command::Acknowledge {
            csp: csp.clone(),
            up_to: Position {
                sequence,
                ..head.clone()
            },
            applied_time: None,
        })
    };
    fixture.clock.set(at(SECOND));
    let set = vec![told("north", 9, 0xC1, SET, 0)];
    let change = followed(Some(flags(2)), vec![set]);
    let done = tokio::join!(
        fixture.write(Command::Sent(csp.clone(), 0, 2)),
        acknowledge(1),
        fixture.write(Command::Project(change)),
        fixture.write(Command::Sent(csp.clone(), 0, 3)),
        acknowledge(3),
        acknowledge(2),
    );
    let all = [done.0, done.1, done.2, done.3, done.4, done.5];
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(fixture.rows().await, [(0, 1, 0, 1), (0, 1, 1_003, 2)]);
}

pub(super) async fn what_was_applied_before_it_was_recorded_is_counted_apart(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture.recorded(SECOND, 1).await;
    fixture.recorded(3 * SECOND, 2).await;
    fixture.acknowledged(4 * SECOND, 3, Some(2 * SECOND)).await;
    let found = fixture.north(0, 1).await;
    assert_eq!(millis(&found.until_applied), [(0, 2), (1_003, 1)]);
    assert_eq!(found.applied_before, 2);
    let wire = found.to_wire();
    assert_eq!(wire.applied_before_recorded, 2);
    let applied = wire.until_applied.unwrap();
    assert_eq!(applied.changes, 3);
    assert_eq!(applied.median_duration.unwrap().nanos, 0);
    assert_eq!(applied.longest_duration.unwrap().seconds, 1);
}

pub(super) async fn a_change_belongs_to_the_hour_in_which_it_was_recorded(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture.recorded(HOUR - 1, 1).await;
    fixture.recorded(HOUR, 2).await;
    fixture.recorded(3 * HOUR, 1).await;
    fixture.acknowledged(3 * HOUR, 2, None).await;
    for (from, until, changes, acknowledged, oldest) in [
        (0, 1, 1, 1, None),
        (1, 2, 2, 1, Some(HOUR)),
        (2, 3, 0, 0, None),
        (3, 4, 1, 0, Some(3 * HOUR)),
        (0, 9, 4, 2, Some(HOUR)),
        (7, 9, 0, 0, None),
    ] {
        let found = fixture.north(from, until).await;
        assert_eq!(
            (found.changes, found.acknowledged),
            (changes, acknowledged),
            "{from} to {until}"
        );
        assert_eq!(found.oldest_not_acknowledged, oldest.map(at));
        assert_eq!(found.until_acknowledged.count(), acknowledged);
    }
    let wire = fixture.north(1, 2).await.to_wire();
    assert_eq!((wire.not_acknowledged, wire.acknowledged_untimed), (1, 0));
}

pub(super) async fn one_acknowledgement_covers_many_changes(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    // More than are looked at at once, and in two hours.
    for hour in 0..2 {
        for second in 0..10 {
            fixture.recorded(hour * HOUR + second * SECOND, 500).await;
        }
    }
    fixture
        .acknowledged(2 * HOUR, 9_999, Some(2 * HOUR - SECOND))
        .await;
    let (first, second) = (fixture.north(0, 1).await, fixture.north(1, 2).await);
    assert_eq!(first.until_acknowledged.count(), 5_000);
    assert_eq!((second.changes, second.acknowledged), (5_000, 4_999));
    assert_eq!(second.until_applied.count(), 4_999);
    assert_eq!(second.until_acknowledged.max(), Some(bucket(3_600)));
    assert_eq!(second.oldest_not_acknowledged, Some(at(HOUR + 9 * SECOND)));
    // Of the five thousand of an hour few rows are left.
    assert!(fixture.rows().await.len() < 10);
}

fn bucket(seconds: u64) -> Duration {
    Bucket::of(Duration::from_secs(seconds)).longest()
}

/// What an older version acknowledged was not counted; and nothing has counted what was not acknowledged.
pub(super) async fn what_was_not_counted_is_told_and_nothing_is_counted_twice(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture.recorded(0, 3).await;
    fixture.acknowledged(SECOND, 2, None).await;
    let mut conn = behind(&fixture.database.url).await.unwrap();
    let forget = "DELETE FROM delivery_count";
    carry_out(&mut conn, forget).await.unwrap();
    fixture.acknowledged(2 * SECOND, 3, None).await;
    let found = fixture.north(0, 1).await.to_wire();
    assert_eq!((found.acknowledged, found.acknowledged_untimed), (3, 2));
    assert_eq!(found.until_acknowledged.unwrap().changes, 1);
    assert_eq!(compared(&fixture).await.1, []);

    let more = "UPDATE delivery_count SET changes = 4";
    carry_out(&mut conn, more).await.unwrap();
    let hours = hours(0, 1);
    let found = promptness(&fixture.store, &name("north"), &hours).await;
    assert!(found.is_err(), "{found:?}");
    let differences = compared(&fixture).await.1;
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(differences[0].table, "delivery_count");
    assert_eq!(differences[0].unlike, Unlike::Column("changes"));
}

/// A CSP that was never told anything has a row as well, and a correction is a change.
pub(super) async fn every_subscription_has_a_row(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let quiet = OwnCsp::unchecked("quiet");
    fixture.write(Command::Subscribe(quiet)).await.unwrap();
    fixture.recorded(SECOND, 1).await;
    let corrected = resync(flags(1), &[("north", 0, 0xC2), ("west", 1, 0xC3)]);
    fixture.write(corrected).await.unwrap();
    fixture.acknowledged(2 * SECOND, 2, None).await;
    let hours = hours(0, 1);
    let all = promptness_after(&fixture.store, "", 9, &hours)
        .await
        .unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|found| (found.csp.as_str(), found.changes, found.acknowledged))
        .collect();
    assert_eq!(shown, [("north", 2, 2), ("quiet", 0, 0), ("west", 1, 0)]);
    let page = promptness_after(&fixture.store, "north", 1, &hours).await;
    assert_eq!(page.unwrap(), all[1..2]);
    let nobody = promptness(&fixture.store, &name("nobody"), &hours).await;
    assert_eq!(nobody.unwrap(), None);
}

/// What happens to North's log.
#[derive(Debug, Clone)]
enum Deed {
    /// So many changes are recorded.
    Record(u16),
    /// An event is acknowledged, as a share of those that are there, and was applied so long before or after.
    Acknowledge(prop::sample::Index, Option<i64>),
}

fn deeds() -> impl Strategy<Value = Vec<(i64, Deed)>> {
    let later = prop_oneof![0..SECOND, 0..HOUR, Just(0)];
    let applied = prop::option::of(-HOUR..HOUR);
    let deed = prop_oneof![
        (1_u16..20).prop_map(Deed::Record),
        (any::<prop::sample::Index>(), applied)
            .prop_map(|(event, applied)| Deed::Acknowledge(event, applied)),
    ];
    prop::collection::vec((later, deed), 1..20)
}

/// Of one change: when it was recorded, first acknowledged, and applied as was said then.
type Told = (i64, Option<(i64, Option<i64>)>);

/// What the counts must be, straight from what happened.
fn naive(changes: &[Told], from: i64, until: i64) -> Promptness {
    let mut expected = Promptness {
        csp: name("north"),
        changes: 0,
        acknowledged: 0,
        oldest_not_acknowledged: None,
        until_acknowledged: Durations::new(),
        until_applied: Durations::new(),
        applied_before: 0,
    };
    let within = |recorded| (from * HOUR..until * HOUR).contains(&recorded);
    for (recorded, acknowledged) in changes.iter().filter(|change| within(change.0)) {
        expected.changes += 1;
        let Some((acknowledged, applied)) = acknowledged else {
            let oldest = expected
                .oldest_not_acknowledged
                .get_or_insert(at(*recorded));
            *oldest = at(*recorded).min(*oldest);
            continue;
        };
        let took = |end: i64| Duration::from_micros((end - recorded).max(0).unsigned_abs());
        expected.acknowledged += 1;
        expected.until_acknowledged.record(took(*acknowledged));
        if let Some(applied) = applied {
            expected.until_applied.record(took(*applied));
            expected.applied_before += u64::from(applied < recorded);
        }
    }
    expected
}

async fn follow(fresh: Fresh, deeds: Vec<(i64, Deed)>) -> Result<(), TestCaseError> {
    let fixture = Fixture::open(fresh).await;
    let mut changes: Vec<Told> = Vec::new();
    let mut now = 0;
    fixture.recorded(now, 1).await;
    changes.push((now, None));
    for (later, deed) in deeds {
        now += later;
        match deed {
            Deed::Record(count) => {
                fixture.recorded(now, count).await;
                changes.extend((0..count).map(|_| (now, None)));
            }
            Deed::Acknowledge(event, applied) => {
                let event = event.index(changes.len());
                let applied = applied.map(|applied| now + applied);
                let sequence = event as u64 + 1;
                fixture.acknowledged(now, sequence, applied).await;
                for change in &mut changes[..=event] {
                    change.1.get_or_insert((now, applied));
                }
            }
        }
    }
    let last = now / HOUR + 1;
    for (from, until) in [(0, 1), (1, 3), (0, last), (last, last + 1)] {
        let found = fixture.north(from, until).await;
        prop_assert_eq!(found, naive(&changes, from, until));
    }
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for (_, stage, _, changes) in fixture.rows().await {
        *sums.entry(stage).or_default() += changes;
    }
    let all = naive(&changes, 0, last);
    let counted = sums.get(&1).copied().unwrap_or(0);
    prop_assert_eq!(u64::try_from(counted).unwrap(), all.acknowledged);
    Ok(())
}

pub(super) async fn counts_are_those_of_what_happened(fresh: Fresh) {
    // A database for each case takes its time.
    let config = Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Handle::current();
    let ran = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(config);
        runner.run(&deeds(), |deeds| runtime.block_on(follow(fresh, deeds)))
    });
    ran.await.unwrap().unwrap();
}
