//! The conformance suite on each engine, and what its planner does with a large month.

use std::time::Duration;

use mesh_store::conformance::Database;
use mesh_store::fold::compare;
use mesh_store::sql::{QueryBuilder, query};

use super::conformance::Checked;
use super::conformance::world::{World, flag, hour, of_month, read, totals};
use super::{Disposition, excepted, figures};

fn sqlite() -> Option<Database> {
    Some(Database::sqlite())
}

mod on_sqlite {
    super::super::conformance::suite!(super::sqlite);
}

mod on_postgres {
    super::super::conformance::suite!(super::Database::postgres);
}

/// Each change needs a database of its own, which is a file.
#[tokio::test]
async fn what_changes_behind_the_back_is_found() -> Checked {
    super::conformance::state::what_changes_behind_the_back_is_found(&Database::sqlite()).await
}

#[tokio::test]
async fn a_changed_edition_is_found() -> Checked {
    super::conformance::state::a_changed_edition_is_found(&Database::sqlite()).await
}

/// The cost of a report must grow with what is flagged and not with all outcomes: no part of it
/// reads the table of outcomes, or that of meters, from one end to the other.
#[tokio::test]
async fn exceptions_are_found_from_the_flags() -> Checked {
    let database = Database::sqlite();
    let world = World::open(&database).await?;
    let plan = format!("EXPLAIN QUERY PLAN {}", figures::EXCEPTIONS);
    let mut conn = world.store.store.readers().acquire().await?;
    let rows = QueryBuilder::new(plan)
        .build()
        .bind(0_i64)
        .bind(1_i64)
        .bind("")
        .bind("")
        .fetch_all(&mut conn)
        .await?;
    let steps: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("detail")).collect();
    let shown = steps?.join("\n");
    assert!(
        shown.contains("SEARCH o USING INDEX sqlite_autoindex_outcome_open_1"),
        "{shown}"
    );
    assert!(!shown.contains("SCAN o"), "{shown}");
    Ok(())
}

/// The same of the list by Device, one page of which looks at a few of them.
#[tokio::test]
async fn excepted_requests_are_listed_from_the_flags() -> Checked {
    let database = Database::sqlite();
    let world = World::open(&database).await?;
    let plan = format!("EXPLAIN QUERY PLAN {}", excepted::EXCEPTED);
    let mut conn = world.store.store.readers().acquire().await?;
    let mut query = QueryBuilder::new(plan).build().bind(0_i64).bind(1_i64);
    for _text in 3..=8 {
        query = query.bind("");
    }
    for number in 9..=13_i64 {
        query = query.bind(number);
    }
    for _part in 14..=16 {
        query = query.bind("");
    }
    query = query.bind(0_i64).bind(i64::MAX);
    let rows = query.fetch_all(&mut conn).await?;
    let steps: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("detail")).collect();
    let shown = steps?.join("\n");
    // The Devices of a page come by their ids; not all of the month, and not all that were flagged since.
    for searched in [
        "SEARCH s USING INDEX sqlite_autoindex_excepted_device_1 (part=? AND device_id>? AND device_id<?)",
        "SEARCH o USING INDEX sqlite_autoindex_outcome_open_1",
        "(device_id>? AND device_id<?)",
    ] {
        assert!(shown.contains(searched), "{searched}: {shown}");
    }
    for scanned in ["SCAN s", "SCAN o", "SCAN f", "SCAN k "] {
        assert!(!shown.contains(scanned), "{shown}");
    }
    Ok(())
}

/// What was recorded one by one is counted, and still recognised.
async fn earlier_outcomes_are_counted(database: &Database) -> Checked {
    let earlier = super::MIGRATIONS.iter().filter(|one| one.version < 1002);
    let earlier = mesh_store::Migrator::with_migrations(earlier.cloned().collect());
    let store = mesh_store::Store::open(&database.with_leave(), &earlier).await?;
    let mut tx = store.begin_write(hour(999)).await?;
    let (october, march) = (hour(-31 * 24 - 1), hour(-245 * 24 + 31 * 24 - 1));
    let rows = [
        ("a", 1, hour(0), 1_i64),
        ("b", 1, hour(5), 1),
        ("c", 2, hour(5), 1),
        ("d", 1, hour(5), 8),
        ("September's last hour", 1, october, 1),
        ("March's last hour", 1, march, 1),
        ("a leap day", 2, hour(-245 * 24 - 2 * 365 * 24 - 24), 1),
    ];
    for (number, (id, device, at, class)) in (1_i64..).zip(rows) {
        query(
            "INSERT INTO outcome (producer, outcome_id, party_id, device_id, variant, message_class, \
             exceptable, request_time, result, origin, recorded_time, number) \
             VALUES ('dsp', $1, 'ONE', $2, '4.8.1', $3, $4, $5, 1, 1, $6, $7)",
        )
        .bind(id)
        .bind(super::conformance::world::device(device).to_string())
        .bind(class)
        .bind(class == 1)
        .bind(at.micros())
        .bind(hour(998).micros())
        .bind(number)
        .execute(tx.conn())
        .await?;
    }
    query("UPDATE outcome_total SET outcomes = 7")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    store.close().await;
    drop(store);

    let world = World::open(database).await?;
    let set = world.flags(&[flag(1, hour(2), &[1])]).await?;
    set.expect("in step");
    for _settled in [false, true] {
        let total = totals(&world.november().await?).total();
        assert_eq!((total.sent(), total.excepted), (4, 1));
        for (month, sent) in [
            ("2026-09", 1),
            ("2026-03", 1),
            ("2024-02", 1),
            ("2026-10", 0),
        ] {
            let figures = world.store.figures(&of_month(month)).await?;
            assert_eq!(totals(&figures).total().sent(), sent, "{month}");
        }
        world.settle(hour(900)).await?;
    }
    for folding in super::ReportFolding::all() {
        let folded = compare(world.store.database(), folding, Duration::ZERO).await?;
        assert_eq!(folded.differences, []);
    }
    let again = world
        .record([read("b", 1, hour(5)), read("e", 1, hour(6))])
        .await?;
    assert_eq!(again, [Disposition::Duplicate, Disposition::Recorded]);
    world.close().await;
    Ok(())
}

#[tokio::test]
async fn earlier_outcomes_are_counted_on_sqlite() -> Checked {
    earlier_outcomes_are_counted(&Database::sqlite()).await
}

#[tokio::test]
async fn earlier_outcomes_are_counted_on_postgres() -> Checked {
    match Database::postgres() {
        Some(database) => earlier_outcomes_are_counted(&database).await,
        None => Ok(()),
    }
}
