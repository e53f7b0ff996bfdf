//! What a running service makes of rows that were changed behind its back.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use sqlx::Connection as _;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::world::{METER, World, add};

/// The Device would be read again, and nobody would be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_flag_vanished_serves_no_more_and_takes_no_writes() {
    let mut world = World::start().await;
    world.flagged(METER).await;
    world.stop().await;
    let mut file = sqlx::SqliteConnection::connect(&world.database())
        .await
        .unwrap();
    let vanish = sqlx::query("DELETE FROM flag_entry WHERE device = $1").bind(METER);
    assert_eq!(vanish.execute(&mut file).await.unwrap().rows_affected(), 1);
    file.close().await.unwrap();
    world.run().await;
    let mut acme = world.acme();
    wait_until("writes to be refused", async || {
        match acme
            .add_flag(add(METER))
            .await
            .map_err(|status| reason_of(&status))
        {
            Err(Some(ErrorReason::StorageUnavailable)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    wait_until("health to say so", async || match world.health().await {
        ServingStatus::NotServing => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
