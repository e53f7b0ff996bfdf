//! Months that are closed: what a closed report says, for whom, and what changes it.

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::edition_choice::Choice;
use mesh_testkit::{certificates, wait_until};
use mesh_types::Timestamp;
use reporting::edition::{Content, Grace};
use tonic::Code;

use crate::browser::{Browser, Http};
use crate::world::{Client, World, device, hour, november, outcome, outcomes, record, refused};

const METER: u64 = 0xE1;
/// The hour at which November ends.
const END: i64 = 30 * 24;

fn close(restatement: u32) -> wire::CloseMonthRequest {
    wire::CloseMonthRequest {
        month: "2026-11".into(),
        restatement,
        ..Default::default()
    }
}

fn of(choice: Choice) -> wire::GetServiceRequestReportRequest {
    wire::GetServiceRequestReportRequest {
        edition: Some(wire::EditionChoice {
            choice: Some(choice),
        }),
        ..november()
    }
}

async fn report(
    client: &mut Client,
    request: wire::GetServiceRequestReportRequest,
) -> wire::GetServiceRequestReportResponse {
    let answer = client.get_service_request_report(request).await;
    answer.unwrap().into_inner()
}

fn sent(report: &wire::GetServiceRequestReportResponse) -> [u64; 2] {
    let total = report.totals.unwrap().total.unwrap();
    [total.sent, total.excepted]
}

/// The content of the last edition, and that edition.
async fn content(client: &mut Client) -> (String, wire::Edition) {
    let request = wire::ExportEditionRequest {
        month: "2026-11".into(),
        ..Default::default()
    };
    let mut parts = client.export_edition(request).await.unwrap().into_inner();
    let (mut text, mut edition) = (Vec::new(), None);
    while let Some(part) = parts.message().await.unwrap() {
        text.extend_from_slice(&part.content);
        edition = edition.or(part.edition);
    }
    (String::from_utf8(text).unwrap(), edition.unwrap())
}

/// Outcomes while the meter is flagged and while it is not, and the flags of the month are known.
async fn settled() -> World {
    let world = World::start(Vec::new()).await;
    world.flag(METER, 10, Some(&[])).await;
    let lifted = world.flag(METER, 25, None).await;
    world.november(lifted).await;
    add(&world, 0..40).await;
    settle(&world, END).await;
    world
}

async fn add(world: &World, hours: std::ops::Range<i64>) {
    let each = hours.map(|at| outcome(&at.to_string(), METER, at));
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, vec![outcomes(each.collect())])
        .await
        .unwrap();
}

/// The registry says that no older flag events come.
async fn settle(world: &World, until: i64) {
    let at = hour(until).seconds * 1_000_000 + 60_000_000;
    world.flags.clock.set(Timestamp::from_micros(at));
    let mut analyst = world.service.internal("analyst");
    wait_until("the exceptions to be settled", async || {
        let basis = report(&mut analyst, of(Choice::Now(true)))
            .await
            .basis
            .unwrap();
        match basis.settled_until == Some(hour(until)) {
            true => Ok(()),
            false => Err(format!("{basis:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_report_stays_as_it_is() {
    let world = settled().await;
    let mut analyst = world.service.internal("analyst");
    let mut operator = world.service.internal("operator");
    let open = report(&mut analyst, november()).await;
    assert_eq!((sent(&open), open.basis.unwrap().edition), ([40, 15], None));
    let none = analyst.get_service_request_report(of(Choice::Restatement(0)));
    assert_eq!(refused(none.await), (Code::NotFound, ErrorReason::NotFound));
    let theirs = analyst.close_month(close(0)).await;
    assert_eq!(theirs.unwrap_err().code(), Code::PermissionDenied);

    let closed = operator.close_month(close(0)).await.unwrap().into_inner();
    let edition = closed.edition.clone().unwrap();
    assert!(edition.by_operator);
    assert_eq!(edition.flags.as_ref().unwrap().sequence, 2);
    let (text, of_text) = content(&mut analyst).await;
    assert_eq!(edition.content_sha256, Content::sha256(&text));
    assert_eq!(edition, of_text);
    assert!(
        text.contains("\nrequests ALBION 4.8.1 CONSUMPTION SCHEDULED SUPPRESSED 40 15\n"),
        "{text}"
    );
    // The text may be shown to those who may not know which Devices are flagged.
    assert!(!text.contains(&device(METER).to_string()), "{text}");
    let before = report(&mut analyst, november()).await;
    assert_eq!(
        before.basis.as_ref().unwrap().edition,
        Some(edition.clone())
    );

    add(&world, 40..60).await;
    let world = world.restart().await;
    let mut analyst = world.service.internal("analyst");
    let mut operator = world.service.internal("operator");
    assert_eq!(report(&mut analyst, november()).await, before);
    assert_eq!(content(&mut analyst).await, (text, edition.clone()));
    let again = operator.close_month(close(0)).await.unwrap().into_inner();
    assert_eq!(again, closed);
    assert_eq!(
        sent(&report(&mut analyst, of(Choice::Now(true))).await),
        [60, 15]
    );
    let mut albion = world.service.supplier("ALBION");
    let mine = wire::GetServiceRequestReportRequest {
        party_id: "ALBION".into(),
        ..november()
    };
    assert_eq!(sent(&report(&mut albion, mine).await), [40, 15]);
    let all = albion
        .list_editions(wire::ListEditionsRequest::default())
        .await;
    assert_eq!(all.unwrap_err().code(), Code::PermissionDenied);

    operator.close_month(close(1)).await.unwrap();
    for (choice, expected) in [
        (Choice::Restatement(0), [40, 15]),
        (Choice::Restatement(1), [60, 15]),
        (Choice::AddedBy(1), [20, 0]),
    ] {
        assert_eq!(
            sent(&report(&mut analyst, of(choice)).await),
            expected,
            "{choice:?}"
        );
    }
    let listed = analyst
        .list_editions(wire::ListEditionsRequest::default())
        .await;
    let listed = listed.unwrap().into_inner().editions;
    let later: Vec<_> = listed.iter().map(|one| one.later_outcomes).collect();
    assert_eq!(later, [20, 0]);
    assert_eq!(listed[0].edition, Some(edition));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_closed_when_its_flags_are_known_and_in_its_turn() {
    let world = World::start(Vec::new()).await;
    let flagged = world.flag(METER, 10, Some(&[])).await;
    world.november(flagged).await;
    add(&world, 0..40).await;
    settle(&world, END - 1).await;
    let mut operator = world.service.internal("operator");
    let early = operator.close_month(close(0)).await;
    let text = early.as_ref().unwrap_err().message().to_owned();
    assert!(text.contains("2026-11-30T23:00:00Z"), "{text}");
    let not_settled = (Code::FailedPrecondition, ErrorReason::MonthNotSettled);
    assert_eq!(refused(early), not_settled);
    settle(&world, END).await;
    let out_of_order = (Code::FailedPrecondition, ErrorReason::EditionOutOfOrder);
    assert_eq!(refused(operator.close_month(close(1)).await), out_of_order);
    operator.close_month(close(0)).await.unwrap();
    let nothing_new = operator.close_month(close(1)).await;
    assert_eq!(refused(nothing_new), out_of_order);
    let malformed = wire::CloseMonthRequest {
        month: "November".into(),
        month_zone: 9,
        ..Default::default()
    };
    let malformed = operator.close_month(malformed).await;
    assert_eq!(
        refused(malformed),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    let not_now = operator.get_service_request_report(of(Choice::Now(false)));
    assert_eq!(
        refused(not_now.await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    world.service.stop().await;
}

/// Whoever turns pages while the month is closed would add up two reports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_one_edition() {
    let world = settled().await;
    let mut other = outcome("other", METER, 12);
    other.service_reference_variant = "4.10".into();
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, vec![outcomes(vec![other])]).await.unwrap();
    let mut operator = world.service.internal("operator");
    let first = wire::GetServiceRequestReportRequest {
        page_size: 1,
        ..november()
    };
    let page_token = report(&mut operator, first.clone()).await.next_page_token;
    let next = wire::GetServiceRequestReportRequest {
        page_token,
        ..first.clone()
    };
    assert_eq!(report(&mut operator, next.clone()).await.rows.len(), 1);
    operator.close_month(close(0)).await.unwrap();
    let refused_page = operator.get_service_request_report(next).await;
    assert_eq!(
        refused(refused_page),
        (Code::InvalidArgument, ErrorReason::PageTokenInvalid)
    );
    let editions = wire::ListEditionsRequest {
        page_size: 1,
        ..Default::default()
    };
    let listed = operator.list_editions(editions).await.unwrap().into_inner();
    assert_eq!((listed.editions.len(), &*listed.next_page_token), (1, ""));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_editions_as_they_are_chosen() {
    let world = settled().await;
    let mut operator = world.service.internal("operator");
    operator.close_month(close(0)).await.unwrap();
    add(&world, 40..60).await;
    operator.close_month(close(1)).await.unwrap();
    add(&world, 60..61).await;
    let analyst = certificates().internal("analyst");
    let browser = Browser::open(world.service.pages, Some(&analyst), Http::Two).await;
    let mut browser = browser.unwrap();
    for (edition, sent) in [
        ("", "60"),
        ("0", "40"),
        ("1", "60"),
        ("added-1", "20"),
        ("now", "61"),
    ] {
        let address = "/performance?month=2026-11&by=supplier&output=csv&edition=";
        let seen = browser.get(&format!("{address}{edition}")).await;
        let row = seen.text.lines().nth(1).unwrap_or_default();
        assert_eq!(row.split(',').nth(1), Some(sent), "{edition}: {seen:?}");
    }
    for (edition, status) in [("2", 404), ("first", 400), ("added-", 400), ("-1", 400)] {
        let seen = browser
            .get(&format!("/exceptions?month=2026-11&edition={edition}"))
            .await;
        assert_eq!(seen.status, status, "{edition}: {seen:?}");
    }
    let page = browser.get("/editions").await;
    let (_, edition) = content(&mut operator).await;
    assert!(page.text.contains(&edition.content_sha256), "{page:?}");
    let page = browser.get("/performance?month=2026-11").await;
    assert!(page.text.contains(&edition.content_sha256), "{page:?}");
    world.service.stop().await;
}

/// At once, if producers have no time for what is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_closed_by_itself() {
    let world = settled().await.restart_with_grace(Grace::of_days(0)).await;
    let mut analyst = world.service.internal("analyst");
    let closed = async |analyst: &mut Client, count: usize| {
        wait_until("the month to be closed", async || {
            let request = wire::ListEditionsRequest::default();
            let listed = analyst.list_editions(request).await.unwrap().into_inner();
            let editions = listed.editions.into_iter().filter_map(|one| one.edition);
            let editions: Vec<_> = editions.collect();
            match editions.len() == count {
                true => Ok(editions),
                false => Err(format!("{editions:?}")),
            }
        })
        .await
    };
    let both = closed(&mut analyst, 2).await;
    assert!(
        both.iter()
            .all(|one| !one.by_operator && one.restatement == 0)
    );
    assert_eq!(sent(&report(&mut analyst, november()).await), [40, 15]);
    add(&world, 40..41).await;
    closed(&mut analyst, 4).await;
    assert_eq!(sent(&report(&mut analyst, november()).await), [41, 15]);
    world.service.stop().await;
}
