//! Who is told how promptly CSPs took changes over, and of which hours?

use std::time::Duration;

use mesh_api::common::v1::ErrorReason as R;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as wire;
use mesh_api::status::reason_of;
use mesh_types::{Clock as _, SystemClock, Timestamp};

use crate::world::{Client, World, snapshot};

const HOUR: i64 = 3_600_000_000;

/// The hour that is under way and the next one, so that none ends before the test.
pub(crate) fn now() -> (Timestamp, Timestamp) {
    let hour = SystemClock.now().micros().div_euclid(HOUR);
    let at = |hour: i64| Timestamp::from_micros(hour * HOUR);
    (at(hour), at(hour + 2))
}

pub(crate) fn asked(
    csp: &str,
    (from, until): (Timestamp, Timestamp),
) -> wire::GetDeliveryReportRequest {
    wire::GetDeliveryReportRequest {
        from_time: Some(timestamp_to_wire(from)),
        until_time: Some(timestamp_to_wire(until)),
        csp_id: csp.into(),
        ..Default::default()
    }
}

pub(crate) async fn told(
    mut client: Client,
    request: wire::GetDeliveryReportRequest,
) -> Result<wire::GetDeliveryReportResponse, tonic::Status> {
    let answer = client.get_delivery_report(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csp_is_told_how_promptly_it_was() {
    let world = World::start().await;
    // A CSP has a row before it was told anything.
    let hours = now();
    let empty = told(world.csp("north"), asked("north", hours))
        .await
        .unwrap();
    assert_eq!((empty.rows.len(), empty.rows[0].changes), (1, 0));
    assert_eq!(
        empty.rows[0].until_acknowledged.unwrap().median_duration,
        None
    );

    world.set("north", 0, 3).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(3).await;
    let mut two = north.position();
    two.sequence = 2;
    // As the test's clock says it, long before they were recorded.
    world.acknowledge("north", two.clone()).await.unwrap();
    world.acknowledge("north", two).await.unwrap();
    let answer = told(world.csp("north"), asked("north", hours))
        .await
        .unwrap();
    let [row] = <[_; 1]>::try_from(answer.rows).unwrap();
    assert_eq!((row.csp_id.as_str(), row.changes), ("north", 3));
    assert_eq!((row.acknowledged, row.not_acknowledged), (2, 1));
    assert_eq!(row.acknowledged_untimed, 0);
    let oldest = world.subscription("north").await.oldest_unacknowledged_time;
    assert_eq!(row.oldest_not_acknowledged_time, oldest);
    let acknowledged = row.until_acknowledged.unwrap();
    assert_eq!(acknowledged.changes, 2);
    assert!(acknowledged.median_duration.is_some() && acknowledged.longest_duration.is_some());
    let applied = row.until_applied.unwrap();
    assert_eq!((applied.changes, row.applied_before_recorded), (2, 2));
    let none = prost_types::Duration::default();
    assert_eq!(applied.longest_duration, Some(none));
    let basis = answer.basis.unwrap();
    assert!(basis.made_time.is_some());
    assert_eq!(basis.source_stale_since, None);

    // Of an hour long ago there is nothing.
    let (from, _) = hours;
    let before = (from.saturating_sub(Duration::from_hours(48)), from);
    let answer = told(world.csp("north"), asked("north", before)).await;
    assert_eq!(answer.unwrap().rows[0].changes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_roles_see_every_csp_by_pages_and_others_their_own() {
    let world = World::start().await;
    let hours = now();
    let operator = || world.internal("operator");
    assert!(
        told(operator(), asked("", hours))
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    world.set("north", 0, 2).await;
    world.set("south", 0, 1).await;
    let all = told(operator(), asked("", hours)).await.unwrap().rows;
    let shown = all.iter().map(|row| (row.csp_id.as_str(), row.changes));
    assert_eq!(shown.collect::<Vec<_>>(), [("north", 2), ("south", 1)]);
    let one = told(world.internal("auditor"), asked("south", hours)).await;
    assert_eq!(one.unwrap().rows, all[1..]);
    let paged = |size, token: &str| wire::GetDeliveryReportRequest {
        page_size: size,
        page_token: token.to_owned(),
        ..asked("", hours)
    };
    let first = told(operator(), paged(1, "")).await.unwrap();
    assert_eq!(first.rows, all[..1]);
    let token = first.next_page_token;
    let second = told(operator(), paged(1, &token)).await.unwrap();
    assert_eq!(
        (second.rows.as_slice(), &*second.next_page_token),
        (&all[1..], "")
    );

    let (from, until) = hours;
    let elsewhen = wire::GetDeliveryReportRequest {
        page_token: token.clone(),
        ..asked("", (from, until.saturating_add(Duration::from_hours(1))))
    };
    for (caller, request, reason) in [
        (
            world.internal("auditor"),
            paged(1, &token),
            R::PageTokenInvalid,
        ),
        (operator(), elsewhen, R::PageTokenInvalid),
        (operator(), paged(1, "rubbish"), R::PageTokenInvalid),
        (operator(), paged(-1, ""), R::FieldInvalid),
        (operator(), asked("nobody", hours), R::NotFound),
        (operator(), asked("No One", hours), R::FieldInvalid),
        (world.csp("north"), asked("south", hours), R::NotOwnData),
        (world.csp("north"), asked("", hours), R::NotOwnData),
        (world.supplier(), asked("north", hours), R::RoleNotPermitted),
        (world.internal("dsp"), asked("", hours), R::RoleNotPermitted),
    ] {
        let shown = format!("{request:?}");
        let refused = told(caller, request).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(reason), "{shown}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_hours_in_bounds_are_answered() {
    let world = World::start().await;
    let (from, until) = now();
    let later = |micros: i64| Timestamp::from_micros(from.micros() + micros);
    let whole = |from, until| asked("", (from, until));
    let without = |change: fn(&mut wire::GetDeliveryReportRequest)| {
        let mut request = whole(from, until);
        change(&mut request);
        request
    };
    for request in [
        without(|request| request.from_time = None),
        without(|request| request.until_time = None),
        without(|request| request.until_time.as_mut().unwrap().nanos = -1),
        whole(later(1), until),
        whole(from, later(HOUR / 2)),
        whole(from, from),
        whole(until, from),
        whole(from, later(367 * 24 * HOUR)),
    ] {
        let shown = format!("{request:?}");
        let refused = told(world.internal("analyst"), request).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(R::FieldInvalid), "{shown}");
    }
    let year = whole(from, later(366 * 24 * HOUR));
    told(world.internal("analyst"), year).await.unwrap();
}
