//! What is settled, and when.

use mesh_store::StoreError;
use mesh_store::conformance::Database;
use mesh_store::sql::query_scalar;

use super::Checked;
use super::world::{HOUR, World, cursor, excepted_of, flag, hour, read, totals};
use crate::store::Disposition::{Duplicate, Recorded};
use crate::store::Step;

async fn rows(world: &World, table: &str) -> Result<i64, StoreError> {
    let mut conn = world.store.database().readers().acquire().await?;
    let counted = match table {
        "open" => "SELECT COUNT(*) FROM outcome_open",
        "seen" => "SELECT COUNT(*) FROM outcome_seen",
        _ => "SELECT COUNT(*) FROM excepted_device",
    };
    query_scalar(counted).fetch_one(&mut conn).await
}

/// More outcomes than one transaction settles, of which many share an instant. The figures are the same at
/// each step, and what remains is about flagged Devices.
pub(in crate::store) async fn settling_changes_no_figure_and_leaves_no_row(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(10), &[1, 7]), flag(1, hour(20), &[])])
        .await?
        .expect("in step");
    let outcomes = (0..12_000_u64).map(|number| {
        let at = hour((number / 300).cast_signed());
        read(&number.to_string(), number % 9, at)
    });
    world.record(outcomes).await?;
    let before = world.november().await?;
    let devices = world.excepted(&excepted_of("2026-11"), 10).await?;
    assert!(totals(&before).total().excepted > 500 && !devices.is_empty());
    assert_eq!(
        (before.basis.open, before.basis.settled_until),
        (12_000, None)
    );
    for (until, open) in [
        (hour(5), 12_000 - 1_500),
        (hour(15), 12_000 - 4_500),
        (hour(900), 0),
    ] {
        world.settle(until).await?;
        let after = world.november().await?;
        assert_eq!(after.figures, before.figures);
        assert_eq!(
            (after.basis.open, after.basis.settled_until),
            (open, Some(until))
        );
        assert_eq!(world.excepted(&excepted_of("2026-11"), 10).await?, devices);
    }
    assert_eq!(rows(&world, "open").await?, 0);
    // Of the Devices 1 and 7, in the one month.
    assert_eq!(rows(&world, "excepted").await?, 2);
    Ok(())
}

/// Whoever follows an older position, or none, settles nothing.
pub(in crate::store) async fn only_what_the_cursor_knows_is_settled(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    world.record([read("a", 1, hour(5))]).await?;
    world.store.settle(&cursor("flags", 1, 0), hour(9)).await?;
    assert_eq!(world.november().await?.basis.open, 1, "no cursor");
    world
        .flags(&[flag(1, hour(1), &[1])])
        .await?
        .expect("in step");
    world.store.settle(&cursor("flags", 1, 0), hour(9)).await?;
    assert_eq!(world.november().await?.basis.open, 1, "an older position");
    world.settle(hour(9)).await?;
    let november = world.november().await?;
    assert_eq!(
        (november.basis.open, totals(&november).total().excepted),
        (0, 1)
    );
    // The instant never goes back, and an outcome of before it is settled at once.
    world.settle(hour(3)).await?;
    world
        .record([read("b", 1, hour(4)), read("c", 2, hour(4))])
        .await?;
    assert_eq!(rows(&world, "open").await?, 0);
    let november = world.november().await?;
    assert_eq!(november.basis.settled_until, Some(hour(9)));
    assert_eq!(
        (november.basis.open, totals(&november).total().excepted),
        (0, 2)
    );
    Ok(())
}

/// Another history of the log decides what is open. What was settled was settled by what was known.
pub(in crate::store) async fn what_is_settled_stays_so(database: &Database) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(1), &[1])])
        .await?
        .expect("in step");
    world
        .record([read("a", 1, hour(5)), read("b", 1, hour(15))])
        .await?;
    world.settle(hour(10)).await?;
    let step = Step {
        from: Some(cursor("flags", 1, 1)),
        to: cursor("flags", 9, 0),
    };
    assert_eq!(world.store.apply_flags(step, true, vec![]).await?, Ok(0));
    let november = world.november().await?;
    let total = totals(&november).total();
    assert_eq!((total.sent(), total.excepted), (2, 1));
    assert_eq!(world.excepted(&excepted_of("2026-11"), 10).await?.len(), 1);
    // Until the new history is known, nothing is settled by it.
    assert_eq!(november.basis.settled_until, None);
    world.record([read("c", 1, hour(6))]).await?;
    assert_eq!(rows(&world, "open").await?, 2);
    Ok(())
}

/// The registry never sends such an event. If it does, somebody hears of it.
pub(in crate::store) async fn an_event_that_comes_too_late_is_told(database: &Database) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(1), &[1])])
        .await?
        .expect("in step");
    world.settle(hour(10)).await?;
    let changes = [flag(2, hour(9), &[2]), flag(3, hour(10), &[3])];
    assert_eq!(world.flags(&changes).await?, Ok(1));
    Ok(())
}

/// For 35 days; then the id is as good as new.
pub(in crate::store) async fn an_id_is_recognised_for_its_time(database: &Database) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(1), &[1])])
        .await?
        .expect("in step");
    let outcome = || [read("a", 2, hour(5))];
    assert_eq!(world.record(outcome()).await?, [Recorded]);
    world.later(35 * 24 * HOUR.cast_unsigned());
    world.settle(hour(9)).await?;
    assert_eq!(world.record(outcome()).await?, [Duplicate]);
    world.later(1);
    world.settle(hour(9)).await?;
    assert_eq!(rows(&world, "seen").await?, 0);
    assert_eq!(world.record(outcome()).await?, [Recorded]);
    Ok(())
}
