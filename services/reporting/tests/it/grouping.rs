//! The same month by supplier, variant and business process, and page by page.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::Dimension::{self, BusinessProcess, ServiceRequestVariant, Supplier};
use mesh_api::reporting::v1::OutcomeResult;
use tonic::Code;

use crate::world::{Client, World, inventoried, november, outcome, outcomes, record, refused};

/// Supplier, variant, how many. The last variant is newer than the table.
const MONTH: [(&str, &str, usize); 6] = [
    ("ALBION", "4.8.1", 3),
    ("ALBION", "4.1.1", 2),
    ("ALBION", "11.3", 1),
    ("BRIGHT", "4.8.1", 4),
    ("BRIGHT", "2.2", 5),
    ("BRIGHT", "4.99", 6),
];

async fn with_outcomes() -> World {
    let meter = |number, supplier| inventoried(number, DeviceType::Esme, supplier);
    let world = World::start(vec![meter(1, "ALBION"), meter(2, "BRIGHT")]).await;
    let mut all = Vec::new();
    for (party, variant, count) in MONTH {
        for number in 0..count {
            let mut one = outcome(&format!("{party} {variant} {number}"), 1, 5);
            one.party_id = party.into();
            one.service_reference_variant = variant.into();
            one.result = OutcomeResult::Succeeded.into();
            all.push(one);
        }
    }
    record(&mut world.service.internal("dsp"), vec![outcomes(all)])
        .await
        .unwrap();
    let flagged = world.flag(1, 1, Some(&[])).await;
    world.november(flagged).await;
    world
}

fn by(group_by: &[Dimension]) -> wire::GetServiceRequestReportRequest {
    wire::GetServiceRequestReportRequest {
        group_by: group_by.iter().map(|&one| one.into()).collect(),
        ..november()
    }
}

async fn report(
    client: &mut Client,
    request: wire::GetServiceRequestReportRequest,
) -> wire::GetServiceRequestReportResponse {
    client
        .get_service_request_report(request)
        .await
        .unwrap()
        .into_inner()
}

/// The three names of each row, and how many were sent.
fn shown(answer: &wire::GetServiceRequestReportResponse) -> Vec<(&str, &str, &str, u64)> {
    let row = |row: &wire::ServiceRequestRow| row.figures.unwrap().total.unwrap().sent;
    let rows = answer.rows.iter().map(|one| {
        (
            &*one.party_id,
            &*one.service_reference_variant,
            &*one.business_process,
            row(one),
        )
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_reported_by_whatever_it_is_grouped_by() {
    let world = with_outcomes().await;
    let mut analyst = world.service.internal("analyst");
    let usual = report(&mut analyst, november()).await;
    assert_eq!(usual.rows.len(), MONTH.len());
    assert!(usual.rows.iter().all(|row| row.business_process.is_empty()));
    assert_eq!(usual.business_processes_version, "2026.11.1");
    let named = report(&mut analyst, by(&[Supplier, ServiceRequestVariant])).await;
    assert_eq!(named, usual);

    let processes = report(&mut analyst, by(&[BusinessProcess])).await;
    let expected = [
        ("", "", "billing-reads", 9),
        ("", "", "firmware", 1),
        ("", "", "other", 6),
        ("", "", "prepayment", 5),
    ];
    assert_eq!(shown(&processes), expected);
    assert_eq!(processes.totals, usual.totals);
    // Reads of consumption are excepted, and by hand these are 9.
    let reads = processes.rows[0].figures.unwrap().total.unwrap();
    assert_eq!((reads.excepted, reads.excepted_but_delivered), (9, 9));

    let both = report(&mut analyst, by(&[Supplier, BusinessProcess])).await;
    let expected = [
        ("ALBION", "", "billing-reads", 5),
        ("ALBION", "", "firmware", 1),
        ("BRIGHT", "", "billing-reads", 4),
        ("BRIGHT", "", "other", 6),
        ("BRIGHT", "", "prepayment", 5),
    ];
    assert_eq!(shown(&both), expected);

    let billing = wire::GetServiceRequestReportRequest {
        business_process: "billing-reads".into(),
        ..by(&[ServiceRequestVariant])
    };
    let billing = report(&mut analyst, billing).await;
    let expected = [("", "4.1.1", "", 2), ("", "4.8.1", "", 7)];
    assert_eq!(shown(&billing), expected);
    assert_eq!(billing.totals.unwrap().total.unwrap().sent, 9);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_groups_its_own_figures_only() {
    let world = with_outcomes().await;
    let mut bright = world.service.supplier("BRIGHT");
    let own = wire::GetServiceRequestReportRequest {
        party_id: "BRIGHT".into(),
        ..by(&[BusinessProcess])
    };
    let own = report(&mut bright, own).await;
    let expected = [
        ("", "", "billing-reads", 4),
        ("", "", "other", 6),
        ("", "", "prepayment", 5),
    ];
    assert_eq!(shown(&own), expected);
    assert_eq!(own.totals.unwrap().total.unwrap().sent, 15);
    let all = bright.get_service_request_report(by(&[BusinessProcess]));
    assert_eq!(
        refused(all.await),
        (Code::PermissionDenied, ErrorReason::NotOwnData)
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_goes_on_in_its_own_grouping_only() {
    let world = with_outcomes().await;
    let mut analyst = world.service.internal("analyst");
    let page = |token: &str| wire::GetServiceRequestReportRequest {
        page_size: 2,
        page_token: token.to_owned(),
        ..by(&[BusinessProcess, Supplier])
    };
    let whole = report(&mut analyst, by(&[BusinessProcess, Supplier])).await;
    let (mut rows, mut token) = (Vec::new(), String::new());
    let mut first = None;
    loop {
        let answer = report(&mut analyst, page(&token)).await;
        assert_eq!(answer.totals, whole.totals);
        rows.extend(answer.rows);
        token = answer.next_page_token;
        first = first.or_else(|| Some(token.clone()));
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(rows, whole.rows);
    let token = first.unwrap();
    for other in [
        vec![Supplier, BusinessProcess],
        vec![BusinessProcess],
        vec![],
    ] {
        let request = wire::GetServiceRequestReportRequest {
            group_by: by(&other).group_by,
            ..page(&token)
        };
        let answer = analyst.get_service_request_report(request).await;
        let not_ours = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
        assert_eq!(refused(answer), not_ours, "{other:?}");
    }
    let request = wire::GetServiceRequestReportRequest {
        business_process: "billing-reads".into(),
        ..page(&token)
    };
    let answer = analyst.get_service_request_report(request).await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, ErrorReason::PageTokenInvalid)
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groupings_that_make_no_sense_are_refused() {
    let world = World::start(Vec::new()).await;
    let mut analyst = world.service.internal("analyst");
    for (group_by, business_process) in [
        (vec![1, 1], ""),
        (vec![0], ""),
        (vec![4], ""),
        (vec![-1], ""),
        (vec![1, 2, 3, 1], ""),
        (vec![], "billing"),
        (vec![], "Billing-Reads"),
    ] {
        let request = wire::GetServiceRequestReportRequest {
            group_by: group_by.clone(),
            business_process: business_process.into(),
            ..november()
        };
        let answer = analyst.get_service_request_report(request).await;
        assert_eq!(
            refused(answer),
            (Code::InvalidArgument, ErrorReason::FieldInvalid),
            "{group_by:?} {business_process}"
        );
    }
    world.service.stop().await;
}
