//! What every engine must do for this service; the engines are plugged in at the end.

mod disputes;
mod promptness;
mod state;
mod streams;

use std::sync::Arc;

use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange, CspFlagState};
use mesh_api::flag_registry::v1::{FlagEntry, FlagState};
use mesh_follow::SnapshotPages as _;
use mesh_store::conformance::Database;
use mesh_store::cursor::Cursor;
use mesh_store::sql::{query_as, query_scalar};
use mesh_store::{Store, Writer, WriterSettings, WriterTask, log, verify};
use mesh_types::{CspId, DeviceId, Epoch, ManualClock, Position, Sequence, Timestamp, chain};
use prost::Message as _;

use super::{
    Command, CspLogs, FlagChange, Followed, MIGRATIONS, ReducedDevices, SnapshotOfFlags, projected,
    subscription, subscriptions,
};
use crate::error::Error;
use crate::project::Told;
use crate::resync::FlagsByCsp;
use crate::subscription::{OwnCsp, log_of};

use disputes::a_disputed_log_is_neither_sent_nor_acknowledged_and_grows;
use promptness::{
    a_change_belongs_to_the_hour_in_which_it_was_recorded,
    commands_that_come_together_count_each_change_once, counts_are_those_of_what_happened,
    each_change_is_counted_when_it_is_first_acknowledged, every_subscription_has_a_row,
    one_acknowledgement_covers_many_changes,
    what_was_applied_before_it_was_recorded_is_counted_apart,
    what_was_not_counted_is_told_and_nothing_is_counted_twice,
};
use state::{
    a_row_that_vanished_or_was_added_is_found, any_history_leaves_rows_as_its_logs_have_them,
    every_column_counts, more_rows_than_a_page_holds_are_compared,
    what_is_written_meanwhile_is_no_difference,
};
use streams::{
    a_stream_is_attached_while_its_process_is_there, an_older_stream_records_nothing_more,
};

/// Makes an empty database for one case.
type Fresh = fn() -> Database;

struct Fixture {
    store: Store,
    writer: Writer<CspLogs>,
    task: WriterTask,
    clock: Arc<ManualClock>,
    database: Database,
}

impl Fixture {
    async fn open(fresh: Fresh) -> Self {
        Self::open_at(fresh()).await
    }

    async fn open_at(database: Database) -> Self {
        let store = Store::open(&database.with_leave(), &MIGRATIONS).await;
        let store = store.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(5_000)));
        let (writer, task) = Writer::start(
            store.clone(),
            CspLogs,
            clock.clone(),
            WriterSettings::default(),
        );
        Self {
            store,
            writer,
            task,
            clock,
            database,
        }
    }

    async fn reopened(self) -> Self {
        self.task.shutdown().await;
        self.store.close().await;
        drop((self.writer, self.store));
        Self::open_at(self.database).await
    }

    async fn write(&self, command: Command) -> Result<(), Error> {
        self.writer.submit(command).await.unwrap().map(|_| ())
    }

    /// Projects one event of `flags` for each of `told`, from where the store stands.
    async fn project(&self, told: Vec<Vec<Told>>) {
        let from = projected(&self.store).await.unwrap();
        self.write(Command::Project(followed(from, told)))
            .await
            .unwrap();
    }

    async fn log(&self, csp: &str) -> Vec<CspFlagChange> {
        let log = log_of(&name(csp));
        let head = verify::verify(self.store.readers(), &log).await.unwrap();
        let head = head.expect("the chain is whole");
        let mut conn = self.store.readers().acquire().await.unwrap();
        let events = log::read(&mut conn, &log, 0, log::PageLimit::default());
        let events = events.await.unwrap();
        assert_eq!(events.len() as u64, head.position.sequence);
        let decoded = events
            .iter()
            .map(|event| CspFlagChange::decode(event.event.as_slice()).unwrap());
        decoded.collect()
    }

    /// The Devices of a snapshot, with their hub, since when and their last event.
    async fn snapshot(&self, csp: &str, at: Sequence) -> Vec<(String, String, i64, u64)> {
        let pages = ReducedDevices {
            store: self.store.clone(),
            csp: name(csp),
        };
        let page = pages.page(at, None).await.unwrap();
        assert_eq!(page.next_key, None);
        assert_eq!(page.items, page.part.devices.len() as u64);
        let devices = page.part.devices.into_iter().map(|device| {
            let since = device.since_time.unwrap();
            let since = mesh_api::convert::timestamp_from_wire(&since).unwrap();
            (
                device.device_id,
                device.communications_hub_id,
                since.micros(),
                device.sequence,
            )
        });
        devices.collect()
    }
}

fn name(csp: &str) -> CspId {
    csp.parse().unwrap()
}

fn device(number: u8) -> DeviceId {
    format!("00-DB-12-34-56-78-90-{number:02X}")
        .parse()
        .unwrap()
}

/// A place in `flags` whose hash nobody checks here.
fn flags(sequence: Sequence) -> Cursor {
    let position = Position {
        log: "flags".parse().unwrap(),
        epoch: Epoch::new(9).unwrap(),
        sequence,
    };
    let hash = chain::link(&[0; 32], sequence, b"");
    Cursor { position, hash }
}

fn followed(from: Option<Cursor>, told: Vec<Vec<Told>>) -> Followed {
    let start = from.as_ref().map_or(0, |from| from.position.sequence);
    let changes: Vec<_> = told
        .into_iter()
        .zip(start + 1..)
        .map(|(told, sequence)| FlagChange {
            position: flags(sequence).position,
            trace_parent: format!("trace {sequence}"),
            told,
        })
        .collect();
    Followed {
        from,
        to: flags(start + changes.len() as u64),
        changes,
    }
}

fn told(csp: &str, number: u8, hub: u8, states: (bool, bool), at: i64) -> Told {
    Told {
        csp: name(csp),
        device: device(number),
        device_type: 1,
        covered: vec![device(0xF0), device(0xF1)],
        hub: device(hub),
        was_reduced: states.0,
        is_reduced: states.1,
        effective_time: Timestamp::from_micros(at),
        cause: CauseClass::Set,
    }
}

const SET: (bool, bool) = (false, true);
const MOVED: (bool, bool) = (true, true);
const LIFTED: (bool, bool) = (true, false);

async fn events_go_to_the_log_of_their_csp_and_keep_their_origin(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    fixture
        .project(vec![
            vec![told("north", 1, 0xC1, SET, 10)],
            vec![],
            vec![
                told("north", 1, 0xC1, LIFTED, 20),
                told("south", 1, 0xC2, SET, 20),
            ],
        ])
        .await;
    let (north, south) = (fixture.log("north").await, fixture.log("south").await);
    let places = |log: &[CspFlagChange]| -> Vec<(u64, u64, String)> {
        let place = |event: &CspFlagChange| {
            let flag = event.flag_position.as_ref().unwrap();
            (event.sequence, flag.sequence, event.trace_parent.clone())
        };
        log.iter().map(place).collect()
    };
    let trace = |sequence: u64| format!("trace {sequence}");
    assert_eq!(places(&north), [(1, 1, trace(1)), (2, 3, trace(3))]);
    assert_eq!(places(&south), [(1, 3, trace(3))]);
    let first = &north[0];
    assert_eq!(first.previous_state(), CspFlagState::NotReduced);
    assert_eq!(first.state(), CspFlagState::Reduced);
    assert_eq!(first.covered_device_ids.len(), 2);
    assert_eq!(projected(&fixture.store).await.unwrap(), Some(flags(3)));
}

async fn snapshots_show_what_held_at_each_event(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    // The first three in one transaction, the others each in its own.
    fixture
        .project(vec![
            vec![told("north", 1, 0xC1, SET, 10)],
            vec![told("north", 2, 0xC1, SET, 20)],
            vec![told("north", 1, 0xC2, MOVED, 30)],
        ])
        .await;
    fixture
        .project(vec![vec![told("north", 2, 0xC1, LIFTED, 40)]])
        .await;
    fixture
        .project(vec![vec![told("north", 2, 0xC3, SET, 50)]])
        .await;
    let row = |number: u8, hub: u8, since, sequence| {
        (
            device(number).to_string(),
            device(hub).to_string(),
            since,
            sequence,
        )
    };
    for (at, expected) in [
        (0, vec![]),
        (1, vec![row(1, 0xC1, 10, 1)]),
        (2, vec![row(1, 0xC1, 10, 1), row(2, 0xC1, 20, 2)]),
        (3, vec![row(1, 0xC2, 10, 3), row(2, 0xC1, 20, 2)]),
        (4, vec![row(1, 0xC2, 10, 3)]),
        (5, vec![row(1, 0xC2, 10, 3), row(2, 0xC3, 50, 5)]),
    ] {
        assert_eq!(fixture.snapshot("north", at).await, expected, "at {at}");
    }
    assert_eq!(fixture.snapshot("south", 5).await, []);
}

async fn a_large_snapshot_comes_in_pages(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let many = (0..2_500_u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        let id = format!("00-DB-12-34-56-78-{high:02X}-{low:02X}");
        let mut told = told("north", 0, 0xC1, SET, 10);
        told.device = id.parse().unwrap();
        vec![told]
    });
    fixture.project(many.collect()).await;
    let pages = ReducedDevices {
        store: fixture.store.clone(),
        csp: name("north"),
    };
    let (mut after, mut found) = (None::<String>, Vec::new());
    loop {
        let page = pages.page(2_500, after.as_deref()).await.unwrap();
        found.extend(page.part.devices.into_iter().map(|device| device.device_id));
        after = page.next_key;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 2_500);
    assert!(found.is_sorted());
}

async fn a_projection_from_where_the_cursor_is_not_writes_nothing(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let first = followed(None, vec![vec![told("north", 1, 0xC1, SET, 10)]]);
    let (one, other) = tokio::join!(
        fixture.write(Command::Project(first.clone())),
        fixture.write(Command::Project(first)),
    );
    assert!(
        one.is_ok() && matches!(other, Err(Error::Stale)),
        "{one:?} {other:?}"
    );
    let elsewhere = followed(Some(flags(7)), vec![vec![told("south", 1, 0xC1, SET, 10)]]);
    let refused = fixture.write(Command::Project(elsewhere)).await;
    assert!(matches!(refused, Err(Error::Stale)), "{refused:?}");
    assert_eq!(fixture.log("north").await.len(), 1);
    let south = subscription(&fixture.store, &name("south")).await.unwrap();
    assert!(south.is_none(), "{south:?}");
    assert_eq!(state::compared(&fixture).await.1, []);
}

/// A place in the next history of `flags`.
fn next_history(sequence: Sequence) -> Cursor {
    let mut cursor = flags(sequence);
    cursor.position.epoch = Epoch::new(10).unwrap();
    cursor
}

/// A snapshot in which these Devices are flagged, each on a hub of a CSP's.
fn resync(from: Cursor, flagged: &[(&str, u8, u8)]) -> Command {
    let mut flags = FlagsByCsp::default();
    for (csp, number, hub) in flagged {
        let entry = FlagEntry {
            device_id: device(*number).to_string(),
            device_type: 1,
            state: FlagState::Flagged.into(),
            covered_device_ids: vec![device(0xF0).to_string(), device(0xF1).to_string()],
            communications_hub_id: device(*hub).to_string(),
            csp_id: (*csp).to_owned(),
            since_time: Some(timestamp_to_wire(Timestamp::from_micros(10))),
            ..FlagEntry::default()
        };
        flags.add(&entry).unwrap();
    }
    let to = next_history(3);
    Command::Resync(SnapshotOfFlags { from, to, flags })
}

async fn a_resync_tells_the_differences_and_is_recorded_for_each_csp(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let quiet = OwnCsp::unchecked("quiet");
    fixture.write(Command::Subscribe(quiet)).await.unwrap();
    fixture
        .project(vec![
            vec![told("north", 1, 0xC1, SET, 10)],
            vec![told("north", 2, 0xC1, SET, 10)],
            vec![told("south", 3, 0xC3, SET, 10)],
        ])
        .await;
    let shown = [("north", 2, 0xC2), ("south", 3, 0xC3), ("west", 4, 0xC4)];
    fixture.write(resync(flags(3), &shown)).await.unwrap();

    let corrections = async |csp: &str| {
        let log = fixture.log(csp).await;
        let corrections = log.into_iter().filter(|event| {
            let resync = event.cause_class() == CauseClass::Resync;
            let rests_on = event.flag_position.as_ref().unwrap().epoch;
            assert_eq!(rests_on, if resync { 10 } else { 9 });
            resync
        });
        let corrections = corrections.map(|event| {
            let state = event.state();
            (event.sequence, event.device_id, state)
        });
        corrections.collect::<Vec<_>>()
    };
    let correction = |sequence, number, state| (sequence, device(number).to_string(), state);
    assert_eq!(
        corrections("north").await,
        [
            correction(3, 1, CspFlagState::NotReduced),
            correction(4, 2, CspFlagState::Reduced)
        ]
    );
    assert_eq!(corrections("south").await, []);
    assert_eq!(
        corrections("west").await,
        [correction(1, 4, CspFlagState::Reduced)]
    );
    let row = (device(2).to_string(), device(0xC2).to_string(), 10, 4);
    assert_eq!(fixture.snapshot("north", 4).await, [row]);
    let cursor = projected(&fixture.store).await.unwrap();
    assert_eq!(cursor, Some(next_history(3)));

    let mut conn = fixture.store.readers().acquire().await.unwrap();
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = query_as(
        "SELECT csp, number, after_sequence, differences, flags_epoch, flags_sequence \
         FROM resync ORDER BY csp",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let row = |csp: &str, after, differences| (csp.to_owned(), 1, after, differences, 10, 3);
    assert_eq!(
        rows,
        [
            row("north", 2, 2),
            row("quiet", 0, 0),
            row("south", 1, 0),
            row("west", 0, 1)
        ]
    );
    // What comes next rests on what was corrected.
    let next = Followed {
        from: Some(next_history(3)),
        to: next_history(4),
        changes: vec![FlagChange {
            position: next_history(4).position,
            trace_parent: String::new(),
            told: vec![told("north", 2, 0xC2, LIFTED, 20)],
        }],
    };
    fixture.write(Command::Project(next)).await.unwrap();
    assert_eq!(fixture.snapshot("north", 5).await, []);
}

async fn of_two_replicas_one_resyncs(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let set = vec![told("north", 1, 0xC1, SET, 10)];
    fixture.project(vec![set]).await;
    // Both in one transaction, and one that comes late.
    let (one, other) = tokio::join!(
        fixture.write(resync(flags(1), &[])),
        fixture.write(resync(flags(1), &[])),
    );
    assert!(
        one.is_ok() && matches!(other, Err(Error::Stale)),
        "{one:?} {other:?}"
    );
    let late = fixture.write(resync(flags(1), &[])).await;
    assert!(matches!(late, Err(Error::Stale)), "{late:?}");
    assert_eq!(fixture.log("north").await.len(), 2);
    let mut conn = fixture.store.readers().acquire().await.unwrap();
    let count: i64 = query_scalar("SELECT COUNT(*) FROM resync")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

async fn a_resync_of_more_rows_than_are_read_at_once_is_whole(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let id = |number: u16| -> DeviceId {
        let [high, low] = number.to_be_bytes();
        format!("00-DB-12-34-56-78-{high:02X}-{low:02X}")
            .parse()
            .unwrap()
    };
    let many = (0..9_000_u16).map(|number| {
        let mut told = told("north", 0, 0xC1, SET, 10);
        told.device = id(number);
        vec![told]
    });
    fixture.project(many.collect()).await;
    fixture.write(resync(flags(9_000), &[])).await.unwrap();
    let head = subscription(&fixture.store, &name("north")).await.unwrap();
    assert_eq!(head.unwrap().head.sequence, 18_000);
    assert_eq!(fixture.snapshot("north", 18_000).await, []);
}

async fn acknowledgements_are_cumulative_and_only_of_what_was_sent(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let csp = OwnCsp::unchecked("north");
    let acknowledge = |up_to: Position| Command::Acknowledge {
        csp: csp.clone(),
        up_to,
        applied_time: Some(Timestamp::from_micros(77)),
    };
    let unknown = fixture.write(acknowledge(flags(0).position)).await;
    assert!(matches!(unknown, Err(Error::OtherEpoch)), "{unknown:?}");
    let changes = (1..=4).map(|number| vec![told("north", number, 0xC1, SET, 10)]);
    fixture.project(changes.collect()).await;
    let now = async || {
        let now = subscription(&fixture.store, csp.csp()).await.unwrap();
        now.unwrap()
    };
    let at = now().await;
    assert_eq!((at.head.sequence, at.sent, at.acknowledged), (4, 0, 0));
    assert_eq!(
        at.oldest_unacknowledged,
        Some(Timestamp::from_micros(5_000))
    );
    let early = fixture.write(acknowledge(at.at(1))).await;
    assert!(
        matches!(early, Err(Error::AcknowledgedNotSent)),
        "{early:?}"
    );

    fixture
        .write(Command::Sent(csp.clone(), 0, 3))
        .await
        .unwrap();
    fixture
        .write(Command::Sent(csp.clone(), 0, 2))
        .await
        .unwrap();
    fixture.clock.set(Timestamp::from_micros(6_000));
    fixture.write(acknowledge(at.at(2))).await.unwrap();
    fixture.clock.set(Timestamp::from_micros(7_000));
    fixture.write(acknowledge(at.at(1))).await.unwrap();
    let beyond = fixture.write(acknowledge(at.at(4))).await;
    assert!(
        matches!(beyond, Err(Error::AcknowledgedNotSent)),
        "{beyond:?}"
    );
    let mut other = at.at(3);
    other.epoch = Epoch::new(other.epoch.get() ^ 1).unwrap();
    let other = fixture.write(acknowledge(other)).await;
    assert!(matches!(other, Err(Error::OtherEpoch)), "{other:?}");

    let then = now().await;
    assert_eq!((then.sent, then.acknowledged), (3, 2));
    assert_eq!(then.acknowledged_time, Some(Timestamp::from_micros(6_000)));
    fixture
        .write(Command::Sent(csp.clone(), 0, 99))
        .await
        .unwrap();
    fixture.write(acknowledge(at.at(4))).await.unwrap();
    let last = now().await;
    assert_eq!((last.sent, last.acknowledged), (4, 4));
    assert_eq!(last.oldest_unacknowledged, None);
}

async fn attaching_makes_a_subscription_once(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let csp = OwnCsp::unchecked("south");
    let sent = fixture.write(Command::Sent(csp.clone(), 0, 1)).await;
    assert!(matches!(sent, Err(Error::NotFound)), "{sent:?}");
    fixture
        .write(Command::Subscribe(csp.clone()))
        .await
        .unwrap();
    let first = subscription(&fixture.store, csp.csp()).await.unwrap();
    fixture
        .write(Command::Subscribe(csp.clone()))
        .await
        .unwrap();
    let second = subscription(&fixture.store, csp.csp()).await.unwrap();
    assert!(first.is_some());
    assert_eq!(first, second);
}

async fn everything_is_there_after_opening_again(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let csp = OwnCsp::unchecked("north");
    fixture
        .project(vec![vec![told("north", 1, 0xC1, SET, 10)]])
        .await;
    fixture
        .write(Command::Subscribe(OwnCsp::unchecked("4g")))
        .await
        .unwrap();
    fixture
        .write(Command::Sent(csp.clone(), 0, 1))
        .await
        .unwrap();
    let before = subscriptions(&fixture.store, "", 10).await.unwrap();
    let names: Vec<_> = before.iter().map(|found| found.csp.as_str()).collect();
    assert_eq!(names, ["4g", "north"]);
    let log = fixture.log("north").await;

    let fixture = fixture.reopened().await;
    assert_eq!(subscriptions(&fixture.store, "", 10).await.unwrap(), before);
    assert_eq!(
        subscriptions(&fixture.store, "4g", 10).await.unwrap(),
        before[1..]
    );
    assert_eq!(
        subscriptions(&fixture.store, "", 1).await.unwrap(),
        before[..1]
    );
    assert_eq!(fixture.log("north").await, log);
    assert_eq!(projected(&fixture.store).await.unwrap(), Some(flags(1)));
}

/// Makes a test out of every case, for each engine.
macro_rules! conformance {
    ($($case:ident)*) => {
        conformance!(@engine sqlite; $($case)*);
        conformance!(@engine postgres; $($case)*);
    };
    (@engine $engine:ident; $($case:ident)*) => {
        mod $engine {
            $(
                #[tokio::test]
                async fn $case() {
                    if super::$engine().is_some() {
                        super::$case(|| super::$engine().expect("as before")).await;
                    }
                }
            )*
        }
    };
}

fn sqlite() -> Option<Database> {
    Some(Database::sqlite())
}

fn postgres() -> Option<Database> {
    Database::postgres()
}

conformance! {
    events_go_to_the_log_of_their_csp_and_keep_their_origin
    snapshots_show_what_held_at_each_event
    a_large_snapshot_comes_in_pages
    a_projection_from_where_the_cursor_is_not_writes_nothing
    a_resync_tells_the_differences_and_is_recorded_for_each_csp
    of_two_replicas_one_resyncs
    a_resync_of_more_rows_than_are_read_at_once_is_whole
    acknowledgements_are_cumulative_and_only_of_what_was_sent
    attaching_makes_a_subscription_once
    an_older_stream_records_nothing_more
    a_stream_is_attached_while_its_process_is_there
    everything_is_there_after_opening_again
    any_history_leaves_rows_as_its_logs_have_them
    a_row_that_vanished_or_was_added_is_found
    every_column_counts
    more_rows_than_a_page_holds_are_compared
    what_is_written_meanwhile_is_no_difference
    a_disputed_log_is_neither_sent_nor_acknowledged_and_grows
    each_change_is_counted_when_it_is_first_acknowledged
    commands_that_come_together_count_each_change_once
    what_was_applied_before_it_was_recorded_is_counted_apart
    a_change_belongs_to_the_hour_in_which_it_was_recorded
    one_acknowledgement_covers_many_changes
    what_was_not_counted_is_told_and_nothing_is_counted_twice
    every_subscription_has_a_row
    counts_are_those_of_what_happened
}

/// Only SQLite is told so easily to look past what its tables refer to.
#[tokio::test]
async fn rows_of_nobody_are_found() {
    state::rows_of_nobody_are_found(Database::sqlite).await;
}
