//! How a CSP's stream ends.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_testkit::LIMIT;
use tonic::Code;

use crate::stream::{Got, sequences};
use crate::world::{World, set, snapshot, suspended};

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_connection_of_a_csp_wins() {
    let world = World::start().await;
    world.set("north", 0, 2).await;
    assert!(!world.subscription("north").await.attached);
    let mut older = world.attach("north", snapshot()).await.unwrap();
    older.until(2).await;
    let mut south = world.attach("south", snapshot()).await.unwrap();
    let mut newer = world.attach("north", snapshot()).await.unwrap();
    newer.until(2).await;
    let ended = older.news().await.unwrap_err();
    assert_eq!(ended.code(), Code::Aborted);
    assert_eq!(reason_of(&ended), Some(ErrorReason::Superseded));
    drop(older);

    world.flags.append(&set(8, "north")).await;
    world.flags.append(&set(9, "south")).await;
    assert_eq!(sequences(&newer.until(3).await), [3]);
    assert_eq!(sequences(&south.until(1).await), [1]);
    assert!(world.subscription("north").await.attached);
    drop(newer);
    world.is_detached("north").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_csp_loses_its_stream() {
    let world = World::start().await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(0).await;
    world.record(suspended()).await;
    let ended = north.news().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&ended), Some(ErrorReason::PartyNotActive));
    let refused = world.attach("north", snapshot()).await.err().unwrap();
    assert_eq!(reason_of(&refused), Some(ErrorReason::PartyNotActive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_says_where_to_go_on() {
    let world = World::start().await;
    world.set("north", 0, 2).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(2).await;
    let (ended, _around) = world.stop();
    let last = north.news().await.unwrap();
    assert!(matches!(last, Some(Got::Draining(2))), "{last:?}");
    assert!(north.try_next().await.unwrap().is_none());
    drop(north);
    let drained = tokio::time::timeout(LIMIT, ended).await;
    assert!(drained.expect("an end before the limit").unwrap().clean);
}
