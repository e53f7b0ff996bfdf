//! What a running service makes of rows that were changed behind its back.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use sqlx::Connection as _;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::world::{World, device, snapshot};

/// The CSP would be told in a snapshot that the Device is read as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_reduced_device_vanished_serves_no_more_and_takes_no_writes() {
    let world = World::start().await;
    world.set("north", 0, 2).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(2).await;
    let at = north.position();
    let url = format!("sqlite://{}", world.database().display());
    let world = world
        .restart(async |_| {
            let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let vanish = sqlx::query("DELETE FROM reduced_device WHERE device = $1");
            let vanish = vanish.bind(device(0)).execute(&mut file).await.unwrap();
            assert_eq!(vanish.rows_affected(), 1);
            file.close().await.unwrap();
        })
        .await;
    wait_until("writes to be refused", async || {
        let refused = world.acknowledge("north", at.clone()).await;
        match refused.map_err(|status| reason_of(&status)) {
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
