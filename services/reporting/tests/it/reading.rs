//! Who may read which report, page by page.

use mesh_api::common::v1::{DeviceType, ErrorReason};
use mesh_api::reporting::v1 as wire;
use tonic::Code;

use crate::world::{Client, World, inventoried, november, outcome, outcomes, record, refused};

fn of(party: &str) -> wire::GetServiceRequestReportRequest {
    wire::GetServiceRequestReportRequest {
        party_id: party.into(),
        ..november()
    }
}

async fn rows(
    client: &mut Client,
    request: wire::GetServiceRequestReportRequest,
) -> wire::GetServiceRequestReportResponse {
    client
        .get_service_request_report(request)
        .await
        .unwrap()
        .into_inner()
}

async fn with_outcomes() -> World {
    let meter = |number, supplier| inventoried(number, DeviceType::Esme, supplier);
    let world = World::start(vec![meter(1, "ALBION"), meter(2, "BRIGHT")]).await;
    let mut all = Vec::new();
    for variant in 1..=5 {
        for party in ["ALBION", "BRIGHT"] {
            let mut one = outcome(&format!("{party} {variant}"), 1, 1);
            one.service_reference_variant = format!("4.{variant}.1");
            one.party_id = party.into();
            all.push(one);
        }
    }
    record(&mut world.service.internal("dsp"), vec![outcomes(all)])
        .await
        .unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_sees_its_own_and_nobody_elses() {
    let world = with_outcomes().await;
    let mut albion = world.service.supplier("ALBION");
    let own = rows(&mut albion, of("ALBION")).await;
    assert_eq!(
        (own.rows.len(), own.totals.unwrap().total.unwrap().sent),
        (5, 5)
    );
    let not_own = (Code::PermissionDenied, ErrorReason::NotOwnData);
    for party in ["BRIGHT", "", "albion"] {
        let answer = albion.get_service_request_report(of(party)).await;
        assert_eq!(refused(answer), not_own, "{party}");
        let request = wire::GetObligationReportRequest {
            party_id: party.into(),
            ..Default::default()
        };
        assert_eq!(
            refused(albion.get_obligation_report(request).await),
            not_own
        );
    }
    let request = wire::GetObligationReportRequest {
        party_id: "ALBION".into(),
        ..Default::default()
    };
    let own = albion
        .get_obligation_report(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((own.rows.len(), own.rows[0].electricity), (1, 1));

    let role = (Code::PermissionDenied, ErrorReason::RoleNotPermitted);
    assert_eq!(
        refused(record(&mut albion, vec![outcomes(vec![])]).await),
        role
    );
    let mut dsp = world.service.internal("dsp");
    assert_eq!(
        refused(dsp.get_service_request_report(november()).await),
        role
    );
    for reader in ["analyst", "auditor", "operator"] {
        let mut reader = world.service.internal(reader);
        assert_eq!(rows(&mut reader, november()).await.rows.len(), 10);
        assert_eq!(
            refused(record(&mut reader, vec![outcomes(vec![])]).await),
            role
        );
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_for_the_same_caller_and_request_only() {
    let world = with_outcomes().await;
    let mut analyst = world.service.internal("analyst");
    let whole = rows(&mut analyst, november()).await;
    let page = |token: &str| wire::GetServiceRequestReportRequest {
        page_size: 3,
        page_token: token.to_owned(),
        ..november()
    };
    let (mut all, mut tokens) = (Vec::new(), vec![String::new()]);
    while let Some(token) = tokens.last() {
        let answer = rows(&mut analyst, page(token)).await;
        assert_eq!(answer.totals, whole.totals);
        all.extend(answer.rows);
        if answer.next_page_token.is_empty() {
            break;
        }
        tokens.push(answer.next_page_token);
    }
    assert_eq!((all, tokens.len()), (whole.rows, 4));

    let not_ours = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    let token = tokens.pop().unwrap();
    let mut auditor = world.service.internal("auditor");
    assert_eq!(
        refused(auditor.get_service_request_report(page(&token)).await),
        not_ours
    );
    for other in [
        wire::GetServiceRequestReportRequest {
            month: "2026-10".into(),
            ..page(&token)
        },
        wire::GetServiceRequestReportRequest {
            party_id: "ALBION".into(),
            ..page(&token)
        },
        wire::GetServiceRequestReportRequest {
            service_reference_variant: "4.1.1".into(),
            ..page(&token)
        },
        page("rubbish"),
        page(&token[1..]),
    ] {
        assert_eq!(
            refused(analyst.get_service_request_report(other).await),
            not_ours
        );
    }
    // A token of one report is none of the other.
    let request = wire::GetObligationReportRequest {
        page_token: token,
        ..Default::default()
    };
    assert_eq!(
        refused(analyst.get_obligation_report(request).await),
        not_ours
    );
    let first = wire::GetObligationReportRequest {
        page_size: 1,
        ..Default::default()
    };
    let answer = analyst
        .get_obligation_report(first.clone())
        .await
        .unwrap()
        .into_inner();
    let second = wire::GetObligationReportRequest {
        page_token: answer.next_page_token,
        ..first
    };
    let second = analyst
        .get_obligation_report(second)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            second.rows[0].party_id.as_str(),
            second.next_page_token.as_str()
        ),
        ("BRIGHT", "")
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_make_no_sense_are_refused() {
    let world = World::start(Vec::new()).await;
    let mut analyst = world.service.internal("analyst");
    for (month, party, variant, size) in [
        ("", "", "", 0),
        ("2026-13", "", "", 0),
        ("November", "", "", 0),
        ("2026-11", "no party", "", 0),
        ("2026-11", "", "4", 0),
        ("2026-11", "", "", -1),
    ] {
        let request = wire::GetServiceRequestReportRequest {
            month: month.into(),
            party_id: party.into(),
            service_reference_variant: variant.into(),
            page_size: size,
            ..Default::default()
        };
        let answer = analyst.get_service_request_report(request).await;
        assert_eq!(
            refused(answer),
            (Code::InvalidArgument, ErrorReason::FieldInvalid),
            "{month}"
        );
    }
    world.service.stop().await;
}
