//! How many meters each supplier had when a month ended, whichever log is known first, and what is refused.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1::{self as wire, MonthZone};
use mesh_testkit::{certificates, wait_until};
use mesh_types::Timestamp;
use tonic::{Code, Status};

use crate::browser::{Browser, Http};
use crate::world::{World, hour, inventoried, refused};

/// The first hour of December.
const DECEMBER: i64 = 30 * 24;

/// At `at` registration recorded this ESME.
fn recorded(number: u64, at: i64, supplier: &str) -> registration::DeviceEvent {
    let change = registration::DeviceRecorded {
        device: inventoried(number, DeviceType::Esme, "").device,
        responsible_party_id: supplier.into(),
        ..Default::default()
    };
    registration::DeviceEvent {
        recorded_time: Some(hour(at)),
        change: Some(registration::device_event::Change::DeviceRecorded(change)),
        ..Default::default()
    }
}

fn of(month: &str, zone: MonthZone) -> wire::GetObligationReportRequest {
    wire::GetObligationReportRequest {
        month: month.into(),
        month_zone: zone.into(),
        ..Default::default()
    }
}

async fn ask(
    world: &World,
    request: wire::GetObligationReportRequest,
) -> Result<wire::GetObligationReportResponse, Status> {
    let mut analyst = world.service.internal("analyst");
    let answer = analyst.get_obligation_report(request).await;
    answer.map(tonic::Response::into_inner)
}

fn row(party: &str, electricity: u64, reduced: u64) -> wire::ObligationRow {
    wire::ObligationRow {
        party_id: party.into(),
        electricity,
        electricity_reduced_by_choice: reduced,
        ..Default::default()
    }
}

/// Waits until the report of a month has these rows.
async fn becomes(
    world: &World,
    request: &wire::GetObligationReportRequest,
    rows: &[wire::ObligationRow],
) {
    wait_until("the end of the month to be known", async || {
        match ask(world, request.clone()).await {
            Ok(answer) if answer.rows == rows => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Has the owner of the flags look at so many hours after the beginning of November.
fn flags_are_known(world: &World, until: i64) {
    let at = hour(until).seconds * 1_000_000 + 60_000_000;
    world.flags.clock.set(Timestamp::from_micros(at));
}

/// ALBION has two meters at the end of October, and BRIGHT gains one of them an hour after November.
async fn with_two_ends() -> World {
    let world = World::start(Vec::new()).await;
    for event in [
        recorded(1, -1, "ALBION"),
        recorded(2, -1, "ALBION"),
        recorded(3, 0, "BRIGHT"),
        recorded(1, DECEMBER + 1, "BRIGHT"),
    ] {
        world.devices.append(event).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meters_are_reported_as_they_were_when_a_month_ended() {
    let world = with_two_ends().await;
    let (october, november) = (of("2026-10", MonthZone::Utc), of("2026-11", MonthZone::Utc));
    // The devices are known up to December, and the flags are not.
    let now = [row("ALBION", 1, 0), row("BRIGHT", 2, 0)];
    becomes(&world, &wire::GetObligationReportRequest::default(), &now).await;
    let not_yet = (Code::Unavailable, ErrorReason::FlagsNotLoaded);
    assert_eq!(refused(ask(&world, november.clone()).await), not_yet);

    // Set and lifted before the end, set before it, and set at the very end.
    world.flag(2, -3, Some(&[])).await;
    world.flag(2, 1, None).await;
    world.flag(1, 2, Some(&[])).await;
    world.flag(3, DECEMBER, Some(&[])).await;
    flags_are_known(&world, 5);
    becomes(&world, &october, &[row("ALBION", 2, 1)]).await;
    assert_eq!(refused(ask(&world, november.clone()).await), not_yet);
    flags_are_known(&world, DECEMBER);
    let rows = [row("ALBION", 2, 1), row("BRIGHT", 1, 0)];
    becomes(&world, &november, &rows).await;
    // Midnight in Great Britain is the same in winter, and a restart changes nothing.
    becomes(&world, &of("2026-11", MonthZone::EuropeLondon), &rows).await;
    let world = world.restart().await;
    becomes(&world, &november, &rows).await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_without_figures_is_refused_and_never_empty() {
    let world = with_two_ends().await;
    flags_are_known(&world, DECEMBER);
    let november = of("2026-11", MonthZone::Utc);
    let rows = [row("ALBION", 2, 0), row("BRIGHT", 1, 0)];
    becomes(&world, &november, &rows).await;
    for (month, zone, said) in [
        // It had ended when the owner of the log first looked.
        ("1969-12", MonthZone::Utc, "had ended before"),
        // The clock of the service is in December.
        ("2026-12", MonthZone::EuropeLondon, "is not over"),
        ("9999-12", MonthZone::Utc, "is not over"),
        ("June", MonthZone::Utc, "a month is"),
        ("", MonthZone::EuropeLondon, "is of no month"),
    ] {
        let status = ask(&world, of(month, zone)).await.unwrap_err();
        let item = mesh_api::status::item_status(&status);
        assert_eq!(status.code(), Code::InvalidArgument, "{month}: {status:?}");
        assert!(
            item.violations[0].description.contains(said),
            "{month}: {item:?}"
        );
    }

    // Page by page, of one supplier, and for a supplier.
    let mut request = wire::GetObligationReportRequest {
        page_size: 1,
        ..november.clone()
    };
    let first = ask(&world, request.clone()).await.unwrap();
    assert_eq!(first.rows, rows[..1]);
    request.page_token = first.next_page_token;
    let other = wire::GetObligationReportRequest {
        month: "2026-10".into(),
        ..request.clone()
    };
    let invalid = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    assert_eq!(refused(ask(&world, other).await), invalid);
    let last = ask(&world, request).await.unwrap();
    assert_eq!((&last.rows[..], &*last.next_page_token), (&rows[1..], ""));
    let own = wire::GetObligationReportRequest {
        party_id: "BRIGHT".into(),
        ..november.clone()
    };
    let mut bright = world.service.supplier("BRIGHT");
    let answer = bright.get_obligation_report(own).await.unwrap();
    assert_eq!(answer.into_inner().rows, rows[1..]);
    assert_eq!(
        refused(bright.get_obligation_report(november).await),
        (Code::PermissionDenied, ErrorReason::NotOwnData)
    );

    // The page has the same, and says of which time.
    let analyst = certificates().internal("analyst");
    let mut browser = Browser::open(world.service.pages, Some(&analyst), Http::Two)
        .await
        .unwrap();
    let page = browser.get("/obligation?month=2026-11&zone=london").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("At the end of 2026-11 (Europe/London)"));
    let csv = browser.get("/obligation?month=2026-11&output=csv").await;
    let lines: Vec<_> = csv.text.lines().skip(1).collect();
    assert_eq!(lines, ["ALBION,2,2,0,0", "BRIGHT,1,1,0,0"]);
    for (address, status) in [
        ("/obligation", 200),
        ("/obligation?month=&zone=", 200),
        ("/obligation?month=1969-12", 400),
        ("/obligation?zone=london", 400),
    ] {
        assert_eq!(browser.get(address).await.status, status, "{address}");
    }
    world.service.stop().await;
}
