//! What changes behind the service's back is found, and after any history nothing is.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_store::conformance::{behind, carry_out};
use mesh_store::fold::{self, Difference, Folding, Unlike};
use mesh_store::{CURRENT, Trouble};
use sqlx::Connection as _;

use super::{Fixture, Fresh, LIFTED, MOVED, SET, device, flags, next_history, resync, told};
use crate::store::{Command, FlagChange, Followed, foldings, projected};
use crate::subscription::OwnCsp;

async fn begun(fixture: &Fixture) -> Vec<impl Folding + use<>> {
    let mut snapshot = fixture.store.snapshot().await.unwrap();
    foldings(&mut snapshot).await.unwrap()
}

/// Of all CSPs: how many rows were as their log has them, and which were not.
pub(super) async fn compared(fixture: &Fixture) -> (u64, Vec<Difference>) {
    let (mut fit, mut differences) = (0, Vec::new());
    for folding in begun(fixture).await {
        let compared = fold::compare(&fixture.store, folding, Duration::ZERO);
        let compared = compared.await.unwrap();
        fit += compared.fit;
        differences.extend(compared.differences);
    }
    (fit, differences)
}

/// Numbers that look drawn, the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: u8) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u8::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }
}

/// Sets, moves and lifts flags of four Devices of two CSPs, with a resync in between.
pub(super) async fn any_history_leaves_rows_as_its_logs_have_them(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let mut drawn = Drawn(169);
    let mut reduced = BTreeMap::new();
    for round in 0..200_i64 {
        let csp = ["north", "south"][usize::from(drawn.below(2))];
        let (number, hub) = (drawn.below(4), 0xC0 + drawn.below(3));
        let before = reduced.contains_key(&(csp, number));
        let states = match drawn.below(3) {
            0 if before => LIFTED,
            _ if before => MOVED,
            _ => SET,
        };
        if states == LIFTED {
            reduced.remove(&(csp, number));
        } else {
            reduced.insert((csp, number), hub);
        }
        let told = told(csp, number, hub, states, round);
        if round < 100 {
            fixture.project(vec![vec![told]]).await;
            continue;
        }
        if round == 100 {
            reduced.pop_first();
            reduced.insert(("north", 9), 0xC1);
            let shown: Vec<_> = reduced
                .iter()
                .map(|((csp, number), hub)| (*csp, *number, *hub))
                .collect();
            let from = projected(&fixture.store).await.unwrap().unwrap();
            fixture.write(resync(from, &shown)).await.unwrap();
            continue;
        }
        let from = projected(&fixture.store).await.unwrap().unwrap();
        let to = next_history(from.position.sequence + 1);
        let change = FlagChange {
            position: to.position.clone(),
            trace_parent: String::new(),
            told: vec![told],
        };
        let followed = Followed {
            from: Some(from),
            to,
            changes: vec![change],
        };
        fixture.write(Command::Project(followed)).await.unwrap();
    }
    let (fit, differences) = compared(&fixture).await;
    assert_eq!(differences, []);
    // A row for each event that says "reduced", and two subscriptions.
    let reduced = async |csp: &str| {
        let log = fixture.log(csp).await;
        let reduced = log.iter().filter(|event| event.state() as i32 == 2);
        reduced.count() as u64
    };
    assert_eq!(fit, reduced("north").await + reduced("south").await + 2);
    assert_eq!(fixture.store.condition().borrow().trouble(), None);
}

/// North was told of Device 1 in event 1, and in 2 and 3, which moved it; of Device 2 in 4 and in 5, which
/// lifted its flag. A resync then corrected Device 1 in event 6 and told of Device 3 in event 7.
async fn history(fixture: &Fixture) {
    fixture
        .project(vec![
            vec![told("north", 1, 0xC1, SET, 10)],
            vec![told("north", 1, 0xC2, MOVED, 20)],
            vec![told("north", 1, 0xC3, MOVED, 30)],
            vec![told("north", 2, 0xC1, SET, 40)],
            vec![told("north", 2, 0xC1, LIFTED, 50)],
        ])
        .await;
    let shown = [("north", 1, 0xC1), ("north", 3, 0xC3)];
    fixture.write(resync(flags(5), &shown)).await.unwrap();
    let north = OwnCsp::unchecked("north");
    fixture.write(Command::Sent(north, 0, 7)).await.unwrap();
}

pub(super) async fn more_rows_than_a_page_holds_are_compared(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    tell(&fixture, 0..1_200, 0xC1, SET).await;
    assert_eq!(compared(&fixture).await, (1_201, vec![]));
    let last = "DELETE FROM reduced_device WHERE from_sequence = 1200";
    let mut conn = behind(&fixture.database.url).await.unwrap();
    carry_out(&mut conn, last).await.unwrap();
    let (fit, differences) = compared(&fixture).await;
    assert_eq!((fit, differences.len()), (1_200, 1));
    assert_eq!(differences[0].unlike, Unlike::Missing);
}

/// Told of Devices with numbers of 16 bits, each in an event.
async fn tell(fixture: &Fixture, numbers: std::ops::Range<u16>, hub: u8, states: (bool, bool)) {
    let many = numbers.map(|number| {
        let [high, low] = number.to_be_bytes();
        let mut told = told("north", low, hub, states, hub.into());
        let id = format!("00-DB-12-34-56-78-{high:02X}-{low:02X}");
        told.device = id.parse().unwrap();
        vec![told]
    });
    fixture.project(many.collect()).await;
}

/// Every Device moves once the first page of rows was compared.
pub(super) async fn what_is_written_meanwhile_is_no_difference(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    tell(&fixture, 0..1_000, 0xC1, SET).await;
    let mut folding = begun(&fixture).await.pop().unwrap();
    let mut conn = fixture.store.readers().acquire().await.unwrap();
    for _ in 0..2 {
        assert!(folding.page(&mut conn).await.unwrap());
    }
    tell(&fixture, 0..1_000, 0xC2, MOVED).await;
    while folding.page(&mut conn).await.unwrap() {}
    let folded = folding.folded();
    assert_eq!((folded.up_to, folded.differences), (1_000, vec![]));
    drop(conn);
    assert_eq!(compared(&fixture).await, (2_001, vec![]));
}

fn difference(table: &'static str, key: &str, sequence: u64, unlike: Unlike) -> Difference {
    let key = key.to_owned();
    Difference {
        table,
        key,
        sequence,
        unlike,
    }
}

fn reduced(number: u8, sequence: u64, unlike: Unlike) -> Difference {
    let key = format!("{} of north", device(number));
    difference("reduced_device", &key, sequence, unlike)
}

pub(super) async fn a_row_that_vanished_or_was_added_is_found(fresh: Fresh) {
    let (one, two) = (device(1), device(2));
    let vanish = |row: &str| format!("DELETE FROM reduced_device WHERE {row}");
    let added = |from: u64| {
        format!(
            "INSERT INTO reduced_device SELECT csp, '{two}', {from}, {CURRENT}, device_type, covered, \
             hub, since_time FROM reduced_device WHERE from_sequence = 2"
        )
    };
    for (statement, expected) in [
        // The Device would be read again.
        (
            vanish(&format!("device = '{one}' AND to_sequence = {CURRENT}")),
            reduced(1, 6, Unlike::Missing),
        ),
        (vanish("from_sequence = 2"), reduced(1, 2, Unlike::Missing)),
        (added(7), reduced(2, 7, Unlike::Surplus)),
        (added(99), reduced(2, 99, Unlike::Surplus)),
        (added(5), reduced(2, 5, Unlike::Surplus)),
        (
            "DELETE FROM resync".to_owned(),
            difference("resync", "north", 6, Unlike::Missing),
        ),
    ] {
        is_found(fresh, &statement, &expected).await;
    }
}

pub(super) async fn every_column_counts(fresh: Fresh) {
    let of = |table, sequence, column| difference(table, "north", sequence, Unlike::Column(column));
    for (values, column) in [
        ("device_type = 2", "device_type"),
        ("covered = ''", "covered"),
        ("hub = device", "hub"),
        ("hub = 'a hub'", "what is no value of it"),
        ("since_time = 11", "since_time"),
        // It ends at another event of the Device, at one of another Device, never, and where nothing is.
        ("to_sequence = 6", "to_sequence"),
        ("to_sequence = 5", "to_sequence"),
        ("to_sequence = 9223372036854775807", "to_sequence"),
        ("to_sequence = 99", "to_sequence"),
    ] {
        let statement = format!("UPDATE reduced_device SET {values} WHERE from_sequence = 2");
        let expected = reduced(1, 2, Unlike::Column(column));
        is_found(fresh, &statement, &expected).await;
    }
    for (values, expected) in [
        (
            "differences = 1",
            difference("resync", "north", 7, Unlike::Missing),
        ),
        ("differences = 3", of("resync", 5, "differences")),
        (
            "after_sequence = 4, differences = 3",
            of("resync", 5, "differences"),
        ),
        ("flags_sequence = 2", of("resync", 6, "flags_sequence")),
    ] {
        is_found(fresh, &format!("UPDATE resync SET {values}"), &expected).await;
    }
    let sent = of("subscription", 0, "sent");
    is_found(fresh, "UPDATE subscription SET sent = 8", &sent).await;
}

/// Carries out `statement` behind the service's back, and sees to it that the comparison finds what it did
/// and stops the writes.
async fn is_found(fresh: Fresh, statement: &str, expected: &Difference) {
    let fixture = Fixture::open(fresh).await;
    history(&fixture).await;
    assert_eq!(compared(&fixture).await.1, []);
    let mut conn = behind(&fixture.database.url).await.unwrap();
    assert_eq!(
        carry_out(&mut conn, statement).await.unwrap(),
        1,
        "{statement}"
    );
    let (_, found) = compared(&fixture).await;
    assert!(found.contains(expected), "{statement}: {found:?}");
    let trouble = fixture.store.condition().borrow().trouble().cloned();
    assert_eq!(trouble, Some(Trouble::Damaged), "{statement}");
    let north = OwnCsp::unchecked("north");
    let refused = fixture.writer.submit(Command::Subscribe(north)).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// Rows of a CSP that has neither a subscription nor a log.
pub(super) async fn rows_of_nobody_are_found(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    history(&fixture).await;
    let mut conn = sqlx::SqliteConnection::connect(&fixture.database.url)
        .await
        .unwrap();
    for statement in [
        "PRAGMA foreign_keys = 0",
        "UPDATE reduced_device SET csp = 'nobody' WHERE from_sequence = 7",
    ] {
        sqlx::query(statement).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let (_, found) = compared(&fixture).await;
    let nobodys = format!("{} of nobody", device(3));
    assert_eq!(
        found,
        [
            difference("subscription", "nobody", 0, Unlike::Missing),
            difference("reduced_device", &nobodys, 7, Unlike::Surplus),
            reduced(3, 7, Unlike::Missing),
        ]
    );
}
