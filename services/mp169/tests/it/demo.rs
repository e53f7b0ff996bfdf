//! Does the story leave a mesh that goes on as it should be left?

use std::net::TcpListener;

use mesh_api::csp_notification::v1::ListSubscriptionsRequest;
use serde_json::Value;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_story_leaves_no_csp_with_a_change_that_is_not_acknowledged() {
    let world = World::start().await;
    let told = world.ok("mp169 demo --home mp169-data").await;
    let remark = "The steps show what this telling has added";
    assert!(told.contains(remark), "{told}");
    assert!(told.contains("sent 10, ok 10, failed 0"), "{told}");
    let mut csp = world.clients("operator").csp().unwrap();
    let answer = csp.list_subscriptions(ListSubscriptionsRequest::default());
    let subscriptions = answer.await.unwrap().into_inner().subscriptions;
    let lags: Vec<_> = subscriptions
        .iter()
        .map(|one| (&*one.csp_id, one.lag))
        .collect();
    assert_eq!(lags, [("north", 0), ("south", 0)]);
    let head = subscriptions[0].head.as_ref().unwrap();
    assert_eq!(head.sequence, 3, "set, set, lifted");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_not_begun_where_a_service_does_not_serve() {
    let world = World::start().await;
    let path = world.path().join("mp169-data/addresses.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut addresses: Value = serde_json::from_str(&text).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobodys = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    addresses["reporting"] = nobodys.into();
    std::fs::write(&path, addresses.to_string()).unwrap();

    let ended = world.run("mp169 demo --home mp169-data --json").await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(ended.stderr.contains("reporting: "), "{ended:?}");
    assert!(!ended.stderr.contains("registration: "), "{ended:?}");
    assert!(ended.stderr.contains("`mp169 doctor`"), "{ended:?}");
    let parties = world.ok("mp169 party list").await;
    assert!(!parties.contains("ALBION"), "{parties}");
    world.stop().await;
}
