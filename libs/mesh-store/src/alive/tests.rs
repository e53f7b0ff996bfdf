//! Starts whose last life is known, and logs of a time to come.

use std::sync::Arc;

use mesh_types::{ManualClock, WatchedClock};
use tempfile::TempDir;

use super::*;
use crate::Migrator;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// When these tests happen.
const BEGINNING: i64 = 1_000 * DAY;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn up(boot: &str, seconds: u64) -> Uptime {
    Uptime {
        boot: boot.to_owned(),
        up: Duration::from_secs(seconds),
    }
}

fn flags() -> LogName {
    "flags".parse().unwrap()
}

/// A clock that is watched, and can be set without time passing.
fn watched(shows: i64) -> (Arc<ManualClock>, WatchedClock) {
    let clock = Arc::new(ManualClock::new(at(shows)));
    let watched = WatchedClock::new(clock.clone(), || Duration::from_secs(1));
    (clock, watched)
}

async fn open(folder: &TempDir) -> Store {
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    let none = Migrator::with_migrations(Vec::new());
    Store::open(&crate::Database::existing_or_new(&url), &none)
        .await
        .unwrap()
}

/// Records an event; says at what time.
async fn record(store: &Store, clock: &dyn Clock) -> Result<Timestamp, StoreError> {
    store.make_logs(&[&flags()], clock).await?;
    let mut tx = store.begin_write_by(clock).await?;
    tx.lock(&flags()).await?;
    let stamp = tx.append(&flags(), |_| b"event".to_vec())?;
    tx.commit().await?;
    Ok(stamp.recorded_time)
}

fn doubt<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Doubt {
    match result {
        Err(StoreError::ClockNotBelieved(doubt)) => doubt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn uptime_explains_exactly_and_only_within_one_start_of_the_machine() {
    let last = |boot: &str| LastLife {
        seen: at(BEGINNING),
        uptime: (!boot.is_empty()).then(|| up(boot, 100)),
    };
    let start = |last: &LastLife, uptime: Option<&Uptime>| {
        history(Some(last), at(BEGINNING + 60 * SECOND), uptime)
    };
    let (same, other) = (up("a", 150), up("b", 150));
    assert_eq!(start(&last("a"), Some(&same)), History::Exact(10 * SECOND));
    assert_eq!(start(&last("a"), Some(&other)), History::Loose(60 * SECOND));
    assert_eq!(start(&last("a"), None), History::Loose(60 * SECOND));
    assert_eq!(start(&last(""), Some(&same)), History::Loose(60 * SECOND));
    let impossible = up("a", 50);
    let loose = History::Loose(60 * SECOND);
    assert_eq!(start(&last("a"), Some(&impossible)), loose);
    assert_eq!(history(None, at(BEGINNING), Some(&same)), History::None);
}

#[cfg(target_os = "linux")]
#[test]
fn the_machine_says_how_long_it_is_up() {
    let first = Uptime::read().unwrap();
    let second = Uptime::read().unwrap();
    assert_eq!(first.boot, second.boot);
    assert!(Duration::ZERO < first.up && first.up <= second.up);
}

#[tokio::test]
async fn a_start_with_a_clock_two_days_ahead_records_nothing_until_the_clock_is_right() {
    for (boot, expected) in [("a", 2 * DAY - 60 * SECOND), ("b", 2 * DAY)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let (_, clock) = watched(BEGINNING);
        store.wake_on(&clock, Some(&up("a", 100))).await.unwrap();
        record(&store, &clock).await.unwrap();
        let noted = store.note_alive_on(&clock, Some(&up("a", 100))).await;
        noted.unwrap();
        store.close().await;
        drop(store);

        let store = open(&folder).await;
        let (set, clock) = watched(BEGINNING + 2 * DAY);
        let here = up(boot, 160);
        store.wake_on(&clock, Some(&here)).await.unwrap();
        let expected = Duration::from_micros(u64::try_from(expected).unwrap());
        let told = doubt(record(&store, &clock).await);
        assert_eq!(told, Doubt::AheadOfLastLife(expected), "boot {boot}");
        doubt(store.note_alive_on(&clock, Some(&here)).await);
        let now = clock.now();
        doubt(store.known_at(&flags(), at(now.micros() - 1), &clock).await);
        let before = store.known_at(&flags(), at(BEGINNING - 1), &clock).await;
        assert_eq!(before.unwrap().unwrap().sequence, 0, "reads go on");

        let right = BEGINNING + 60 * SECOND;
        set.set(at(right));
        assert_eq!(record(&store, &clock).await.unwrap(), at(right));
        assert_eq!(store.clock_doubt(&clock).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_start_within_a_day_of_a_reboot_is_believed_and_so_is_what_an_operator_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let (_, clock) = watched(BEGINNING);
    record(&store, &clock).await.unwrap();
    store
        .note_alive_on(&clock, Some(&up("a", 100)))
        .await
        .unwrap();
    let (_, morning) = watched(BEGINNING + DAY / 2);
    store.wake_on(&morning, Some(&up("b", 10))).await.unwrap();
    record(&store, &morning).await.unwrap();
    let (_, accepted) = watched(BEGINNING + 9 * DAY);
    let accepted = accepted.accepted();
    store.wake_on(&accepted, Some(&up("c", 10))).await.unwrap();
    record(&store, &accepted).await.unwrap();
}

/// As an earlier version left it: the clock was two days ahead when an event was recorded.
#[tokio::test]
async fn a_log_of_a_time_to_come_takes_nothing_and_answers_only_for_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let ahead = BEGINNING + 2 * DAY;
    record(&store, &ManualClock::new(at(BEGINNING)))
        .await
        .unwrap();
    record(&store, &ManualClock::new(at(ahead))).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(&folder).await;
    let now = BEGINNING + 60 * SECOND;
    let (_, clock) = watched(now);
    store.wake_on(&clock, Some(&up("a", 10))).await.unwrap();
    let expected = Doubt::LogAhead(Duration::from_secs(2 * 86_400 - 60));
    assert_eq!(store.clock_doubt(&clock).await.unwrap(), Some(expected));
    assert_eq!(doubt(record(&store, &clock).await), expected);
    // What is now has both events, so one is no answer for now.
    for time in [BEGINNING, now - 1] {
        let known = store.known_at(&flags(), at(time), &clock).await;
        assert_eq!(doubt(known), expected);
    }
    let before = store.known_at(&flags(), at(BEGINNING - 1), &clock).await;
    assert_eq!(before.unwrap().unwrap().sequence, 0);

    let (_, accepted) = watched(now);
    let accepted = accepted.accepted();
    assert_eq!(record(&store, &accepted).await.unwrap(), at(ahead));
    let mut tx = store.begin_write_by(&accepted).await.unwrap();
    tx.lock(&flags()).await.unwrap();
    assert_eq!(tx.log_ahead(&flags()).unwrap(), Some(expected));
    tx.rollback().await.unwrap();

    let (_, caught_up) = watched(ahead - 29 * SECOND);
    assert_eq!(record(&store, &caught_up).await.unwrap(), at(ahead));
}
