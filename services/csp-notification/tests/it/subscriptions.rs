//! How far a CSP is, and what it may acknowledge.

use std::time::Duration;

use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as wire;
use mesh_api::status::reason_of;
use mesh_types::{Clock as _, SystemClock, Timestamp};

use crate::world::{World, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_are_cumulative_and_only_of_what_was_sent() {
    let world = World::start().await;
    world.set("north", 0, 4).await;
    let head = world.subscription("north").await.head.unwrap();
    let at = |sequence| Position {
        sequence,
        ..head.clone()
    };
    let refused = world.acknowledge("north", at(1)).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::AcknowledgedNotSent));
    let mut other = at(0);
    other.epoch ^= 1;
    let refused = world.acknowledge("north", other).await.unwrap_err();
    assert_eq!(
        reason_of(&refused),
        Some(ErrorReason::PositionOfAnotherEpoch)
    );

    // A snapshot sends everything up to its position.
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(4).await;
    let first = world.acknowledge("north", at(3)).await.unwrap();
    assert_eq!(first.acknowledged, Some(at(3)));
    assert_eq!(first.sent, Some(at(4)));
    assert_eq!(first.head, Some(at(4)));
    assert_eq!((first.lag, first.attached), (1, true));
    assert!(first.oldest_unacknowledged_time.is_some() && first.acknowledged_time.is_some());
    let older = world.acknowledge("north", at(1)).await.unwrap();
    assert_eq!(older, first);
    let all = world.acknowledge("north", at(4)).await.unwrap();
    assert_eq!((all.lag, all.oldest_unacknowledged_time), (0, None));

    // What comes after is sent and can be acknowledged at once.
    world.set("north", 4, 1).await;
    north.until(5).await;
    world.acknowledge("north", north.position()).await.unwrap();
    let beyond = world.acknowledge("north", at(6)).await.unwrap_err();
    assert_eq!(reason_of(&beyond), Some(ErrorReason::AcknowledgedNotSent));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_acknowledgements_are_refused_by_field() {
    let world = World::start().await;
    let head = world.subscription("north").await.head;
    let good = wire::AcknowledgeFlagChangesRequest {
        csp_id: "north".into(),
        up_to: head,
        applied_time: None,
    };
    let mut missing = good.clone();
    missing.up_to = None;
    let mut malformed = good.clone();
    malformed.up_to.as_mut().unwrap().log.clear();
    let applied = |at| wire::AcknowledgeFlagChangesRequest {
        applied_time: Some(timestamp_to_wire(at)),
        ..good.clone()
    };
    let tomorrow = SystemClock.now().saturating_add(Duration::from_hours(24));
    let wrong_times = [Timestamp::FOREVER, tomorrow, Timestamp::from_micros(1)].map(applied);
    for request in [missing, malformed].into_iter().chain(wrong_times) {
        let refused = world.csp("north").acknowledge_flag_changes(request).await;
        assert_eq!(
            reason_of(&refused.unwrap_err()),
            Some(ErrorReason::FieldInvalid)
        );
    }
    world
        .csp("north")
        .acknowledge_flag_changes(good)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_every_subscription_by_pages() {
    let world = World::start().await;
    let list = |size, token: &str| wire::ListSubscriptionsRequest {
        page_size: size,
        page_token: token.to_owned(),
    };
    let mut operator = world.internal("operator");
    let get = |csp: &str| wire::GetSubscriptionRequest { csp_id: csp.into() };
    let refused = operator.get_subscription(get("north")).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::NotFound));
    let refused = operator.get_subscription(get("No One")).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(ErrorReason::FieldInvalid));
    assert!(
        operator
            .list_subscriptions(list(0, ""))
            .await
            .unwrap()
            .into_inner()
            .subscriptions
            .is_empty()
    );

    world.set("north", 0, 2).await;
    world.set("south", 0, 1).await;
    let north = operator.get_subscription(get("north")).await.unwrap();
    let north = north.into_inner().subscription.unwrap();
    assert_eq!(north, world.subscription("north").await);
    let first = operator
        .list_subscriptions(list(1, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.subscriptions, [north]);
    let token = first.next_page_token;
    let second = operator.list_subscriptions(list(1, &token)).await.unwrap();
    let second = second.into_inner();
    assert_eq!(second.subscriptions, [world.subscription("south").await]);
    assert_eq!(second.next_page_token, "");
    let whole = operator
        .list_subscriptions(list(0, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (whole.subscriptions.len(), whole.next_page_token.as_str()),
        (2, "")
    );

    for (mut caller, request, reason) in [
        (
            world.internal("auditor"),
            list(1, &token),
            ErrorReason::PageTokenInvalid,
        ),
        (
            world.internal("operator"),
            list(1, "rubbish"),
            ErrorReason::PageTokenInvalid,
        ),
        (
            world.internal("operator"),
            list(-1, ""),
            ErrorReason::FieldInvalid,
        ),
        (
            world.csp("north"),
            list(1, ""),
            ErrorReason::RoleNotPermitted,
        ),
    ] {
        let refused = caller.list_subscriptions(request).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(reason));
    }
}
