//! While nothing comes from flag-registry.

use mesh_api::csp_notification::v1::SourceTrouble;
use mesh_testkit::wait_until;

use crate::stream::Got;
use crate::world::{World, set, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_csp_is_told_while_flag_registry_is_not_heard_from() {
    let mut world = World::start().await;
    world.set("north", 0, 1).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(1).await;
    assert_eq!(north.stale_since, None);
    let up_to_date = world.subscription("north").await;
    assert_eq!(up_to_date.source_stale_since, None);
    assert_eq!(up_to_date.source_trouble(), SourceTrouble::Unspecified);

    let restarted = world.flags.restart(async |_, _| {
        while north.stale_since.is_none() {
            assert!(matches!(north.next().await, Got::Checkpoint(1)));
        }
    });
    restarted.await;
    // Set while nobody was told.
    world.flags.append(&set(1, "north")).await;
    north.until(2).await;
    while north.stale_since.is_some() {
        north.next().await;
    }
    wait_until("a subscription that is up to date", async || {
        match world.subscription("north").await.source_stale_since {
            None => Ok(()),
            Some(_) => Err("stale"),
        }
    })
    .await;
}
