//! The conformance suite on each engine, and what its planner does with a large month.

use mesh_store::conformance::Database;
use mesh_store::sql::QueryBuilder;

use super::conformance::Checked;
use super::conformance::world::World;
use super::{excepted, figures};

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
        shown.contains("SEARCH o USING INDEX outcome_exceptable"),
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
    let rows = query.fetch_all(&mut conn).await?;
    let steps: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("detail")).collect();
    let shown = steps?.join("\n");
    assert!(
        shown.contains("SEARCH o USING INDEX outcome_exceptable"),
        "{shown}"
    );
    // The Devices of a page come by their ids; not all that were flagged since.
    assert!(shown.contains("(device_id>? AND device_id<?)"), "{shown}");
    assert!(!shown.contains("SCAN"), "{shown}");
    Ok(())
}
