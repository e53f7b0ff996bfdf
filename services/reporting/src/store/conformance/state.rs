//! The rows against each other.

use std::time::Duration;

use mesh_store::conformance::Database;
use mesh_store::fold::{Folded, Folding as _, compare};
use mesh_store::{Condition, StoreError, Trouble};
use sqlx::Connection as _;

use super::Checked;
use super::world::{World, flag, hour, of_month, read};
use crate::store::{Beginning, ReportFolding};

/// A gas meter whose flag covers a proxy, was lifted and set again; and outcomes of two months.
async fn world(database: &Database) -> Result<World, StoreError> {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(1), &[1, 7]), flag(2, hour(1), &[2])])
        .await?
        .ok();
    world
        .flags(&[flag(1, hour(5), &[]), flag(1, hour(9), &[1, 7])])
        .await?
        .ok();
    let outcomes = (0..5_000).map(|number| {
        let mut one = read(
            &number.to_string(),
            number % 9,
            hour((number % 900).cast_signed()),
        );
        if number % 4 == 0 {
            one.outcome.variant = "5.1".parse().expect("a variant");
        }
        one
    });
    world.record(outcomes).await?;
    Ok(world)
}

async fn compared(world: &World) -> Result<Vec<Folded>, StoreError> {
    let mut all = Vec::new();
    for folding in ReportFolding::all() {
        all.push(compare(world.store.database(), folding, Duration::ZERO).await?);
    }
    Ok(all)
}

/// Everything fits, and everything was looked at: before it is settled what is excepted, and after.
pub(in crate::store) async fn what_the_service_wrote_fits(database: &Database) -> Checked {
    let world = world(database).await?;
    for until in [hour(0), hour(6), hour(100)] {
        world.settle(until).await?;
        let [counts, intervals, editions, flags] = &compared(&world).await?[..] else {
            panic!("four kinds of rows");
        };
        assert_eq!((editions.fit, &editions.differences[..]), (0, &[][..]));
        assert_eq!((counts.up_to, &counts.differences[..]), (5_000, &[][..]));
        // Two variants in each of two months, one in the last hour of the first, and how many there are.
        assert_eq!(counts.fit, 6);
        assert_eq!((intervals.fit, &intervals.differences[..]), (5, &[][..]));
        // How many there are, what came and went of one holder in one part, and two flags.
        assert_eq!((flags.fit, &flags.differences[..]), (5, &[][..]));
    }
    closed(&world).await?;
    let editions = &compared(&world).await?[2];
    assert_eq!((editions.fit, &editions.differences[..]), (1, &[][..]));
    assert_eq!(
        *world.store.database().condition().borrow(),
        Condition::Sound
    );
    world.close().await;
    Ok(())
}

async fn closed(world: &World) -> Checked {
    world.settle(hour(30 * 24)).await?;
    let beginning = Beginning {
        period: of_month("2026-11").period,
        restatement: 0,
        by_operator: true,
    };
    let closed = world.store.close_month(beginning).await?;
    closed.map_err(|why| format!("{why:?}"))?;
    Ok(())
}

/// Also what no other rows contradict.
pub(in crate::store) async fn a_changed_edition_is_found(database: &Database) -> Checked {
    for (number, change) in [
        "UPDATE edition SET content_sha256 = 'ab'",
        "UPDATE edition SET restatement = 1",
        "UPDATE edition_process SET process = 'other'",
        "UPDATE outcome_kind SET message_class = 4 WHERE kind = 1",
        "UPDATE outcome_part SET layer = 1 WHERE kind = 1",
    ]
    .into_iter()
    .enumerate()
    {
        let one = Database {
            url: format!("{}.edition{number}", database.url),
            keep: Box::new(()),
        };
        let before = world(&one).await?;
        closed(&before).await?;
        before.close().await;
        let mut file = sqlx::SqliteConnection::connect(&one.url).await?;
        sqlx::raw_sql(change).execute(&mut file).await?;
        file.close().await?;
        let world = World::open(&one).await?;
        let folded = compared(&world).await?;
        let found: Vec<_> = folded
            .iter()
            .map(|folded| folded.differences.len())
            .collect();
        assert_eq!(found, [0, 0, 1, 0], "{change}");
        world.close().await;
    }
    Ok(())
}

/// Each of these alone stops the writes.
pub(in crate::store) async fn what_changes_behind_the_back_is_found(
    database: &Database,
) -> Checked {
    let covered = "device_id <> source_id";
    let changes = [
        (
            "outcome_part",
            "DELETE FROM outcome_part WHERE kind = 1".to_owned(),
            4,
        ),
        (
            "outcome_part",
            "UPDATE outcome_part SET outcomes = outcomes + 1".to_owned(),
            6,
        ),
        (
            "outcome_part",
            "UPDATE outcome_part SET excepted = excepted - 1 WHERE excepted > 0".to_owned(),
            4,
        ),
        (
            "outcome_total",
            "UPDATE outcome_total SET outcomes = outcomes - 1".to_owned(),
            1,
        ),
        (
            "outcome_part",
            "DELETE FROM outcome_hour WHERE hour = 498200".to_owned(),
            1,
        ),
        (
            "outcome_part",
            "UPDATE outcome_hour SET excepted = 1 WHERE hour = 498200 AND excepted = 0".to_owned(),
            1,
        ),
        (
            "excepted_device",
            "DELETE FROM excepted_device WHERE kind = 2".to_owned(),
            1,
        ),
        (
            "excepted_device",
            "UPDATE excepted_device SET outcomes = outcomes + 1 WHERE kind = 1".to_owned(),
            1,
        ),
        (
            "outcome_kind",
            "DELETE FROM outcome_kind WHERE kind = 2".to_owned(),
            3,
        ),
        // The meter's own row: what it covers is held by nothing.
        (
            "flag_interval",
            format!("DELETE FROM flag_interval WHERE NOT {covered}"),
            6,
        ),
        (
            "flag_interval",
            format!(
                "UPDATE flag_interval SET end_time = end_time + 1 WHERE {covered} AND end_time < 9223372036854775807"
            ),
            1,
        ),
        (
            "flag_interval",
            "UPDATE flag_interval SET end_time = 9223372036854775807".to_owned(),
            4,
        ),
        (
            "flag_standing",
            "DELETE FROM flag_standing WHERE device_id LIKE '%-01'".to_owned(),
            2,
        ),
        (
            "flag_movement",
            "UPDATE flag_standing SET party_id = 'TWO' WHERE device_id LIKE '%-01'".to_owned(),
            2,
        ),
        (
            "flag_movement",
            "UPDATE flag_movement SET flags = flags + 1 WHERE movement = 1".to_owned(),
            2,
        ),
        ("flag_movement", "DELETE FROM flag_movement".to_owned(), 1),
    ];
    for (number, (table, change, differences)) in changes.into_iter().enumerate() {
        let one = Database {
            url: format!("{}.{number}", database.url),
            keep: Box::new(()),
        };
        let before = world(&one).await?;
        before.settle(hour(100)).await?;
        before.close().await;
        let mut file = sqlx::SqliteConnection::connect(&one.url).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(change.clone()))
            .execute(&mut file)
            .await?;
        file.close().await?;
        let world = World::open(&one).await?;
        let folded = compared(&world).await?;
        let found: Vec<_> = folded
            .iter()
            .flat_map(|folded| &folded.differences)
            .collect();
        assert!(
            found.iter().any(|found| found.table == table),
            "{change}: {found:?}"
        );
        assert_eq!(found.len(), differences, "{change}: {found:?}");
        let condition = world.store.database().condition().borrow().clone();
        assert_eq!(condition, Condition::Trouble(Trouble::Damaged), "{change}");
        world.close().await;
    }
    Ok(())
}

/// The counts move while they are compared.
pub(in crate::store) async fn outcomes_that_come_meanwhile_are_counted(
    database: &Database,
) -> Checked {
    let world = world(database).await?;
    let mut counts = ReportFolding::all().remove(0);
    let mut conn = world.store.database().readers().acquire().await?;
    assert!(matches!(counts, ReportFolding::Counts(_)));
    let mut late = 10_000;
    while counts.page(&mut conn).await? {
        world.record([read(&late.to_string(), 3, hour(3))]).await?;
        world.settle(hour(late - 10_000)).await?;
        late += 1;
    }
    assert!(late > 10_003, "page by page");
    assert_eq!(counts.folded().differences, []);
    drop(conn);
    world.close().await;
    Ok(())
}
