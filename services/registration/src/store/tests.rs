//! The conformance suite on each engine.

use std::sync::Arc;

use mesh_store::conformance::{behind, carry_out};
use mesh_store::{CURRENT, WriterSettings};
use mesh_types::{ManualClock, Timestamp};

use super::Inventory;
use super::conformance::Database;

fn sqlite() -> Option<Database> {
    Some(Database::sqlite())
}

mod on_sqlite {
    super::super::conformance::suite!(super::super::sqlite);
}

mod on_postgres {
    super::super::conformance::suite!(super::super::Database::postgres);
}

/// A server refuses them by itself, whatever the service would write.
#[tokio::test]
async fn no_server_keeps_registrations_that_overlap() -> super::conformance::Checked {
    let Some(database) = Database::postgres() else {
        return Ok(());
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let with_leave = database.with_leave();
    let (inventory, task) = Inventory::open(&with_leave, clock, WriterSettings::default()).await?;
    let mut conn = behind(&database.url).await?;
    let mut record = async |id, standing: bool, mpxn, from: i64, until: i64| {
        let to_sequence = if standing { CURRENT } else { 2 };
        let row = format!("'{id}', 1, {to_sequence}, '{mpxn}', 'ALBION', {from}, {until}");
        carry_out(
            &mut conn,
            &format!("INSERT INTO registration VALUES ({row})"),
        )
        .await
    };
    let (point, other) = ("1000000000008", "1000000000017");
    record("first", true, point, 0, 100).await?;
    record("next", true, point, 100, i64::MAX).await?;
    record("replaced", false, point, 0, i64::MAX).await?;
    record("elsewhere", true, other, 0, i64::MAX).await?;
    for (from, until) in [(1, 2), (99, 100), (50, 150), (i64::MAX - 1, i64::MAX)] {
        let refused = record("another", true, point, from, until)
            .await
            .unwrap_err();
        assert!(
            format!("{refused:?}").contains("registration_apart"),
            "{refused:?}"
        );
    }
    task.shutdown().await;
    inventory.store().close().await;
    Ok(())
}
