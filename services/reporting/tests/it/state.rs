//! What a running service makes of rows that were changed behind its back.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use sqlx::Connection as _;

use crate::world::{Running, World, november, outcome, outcomes, record};

/// Each figure of that supplier would be one too low, and no hash would show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_tally_was_changed_takes_no_writes_and_says_so() {
    let world = World::start(Vec::new()).await;
    let request = |id| vec![outcomes(vec![outcome(id, 1, 1)])];
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, request("one")).await.unwrap();
    record(&mut dsp, request("two")).await.unwrap();
    world.service.stop().await;

    let url = format!(
        "sqlite://{}",
        world.folder.path().join("reporting.db").display()
    );
    let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let fewer = sqlx::query("UPDATE outcome_part SET outcomes = 1");
    assert_eq!(fewer.execute(&mut file).await.unwrap().rows_affected(), 1);
    file.close().await.unwrap();

    let registration = world.registration.address.to_string();
    let flag_registry = world.flag_registry.address.to_string();
    let service = Running::start(&world.folder, &registration, &flag_registry).await;
    let mut dsp = service.internal("dsp");
    wait_until("outcomes to be refused", async || {
        match record(&mut dsp, request("one")).await {
            Err(status) if reason_of(&status) == Some(ErrorReason::StorageUnavailable) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    wait_until("health to say so", async || {
        match service.is_serving().await {
            false => Ok(()),
            true => Err("serving"),
        }
    })
    .await;
    // What can be read is read.
    let mut analyst = service.internal("analyst");
    let report = analyst.get_service_request_report(november()).await;
    report.unwrap();
    service.stop().await;
}
