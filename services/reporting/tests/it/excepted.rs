//! Excepted requests Device by Device: what is told, to whom, and what goes on record.

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::OutcomeResult;
use mesh_audit::testing::OnDisk;
use mesh_testkit::temp_dir;
use tonic::Code;

use crate::world::{Client, World, device, outcome, outcomes, record, refused};

const ESME: u64 = 0xE1;
const GSME: u64 = 0x61;
const GPF: u64 = 0x6F;
const OTHER: u64 = 0xE2;

fn november() -> wire::ListExceptedRequestsRequest {
    wire::ListExceptedRequestsRequest {
        month: "2026-11".into(),
        ..Default::default()
    }
}

async fn list(
    client: &mut Client,
    request: wire::ListExceptedRequestsRequest,
) -> wire::ListExceptedRequestsResponse {
    client
        .list_excepted_requests(request)
        .await
        .unwrap()
        .into_inner()
}

/// A gas meter and an ESME of ALBION are flagged from hour 10 on; BRIGHT reads the ESME too.
async fn with_outcomes() -> World {
    let world = World::start(Vec::new()).await;
    let mut all = Vec::new();
    for (party, number, at, result) in [
        ("ALBION", GPF, 9, OutcomeResult::Succeeded),
        ("ALBION", GPF, 10, OutcomeResult::Suppressed),
        ("ALBION", GPF, 11, OutcomeResult::Suppressed),
        ("ALBION", GPF, 12, OutcomeResult::Failed),
        ("ALBION", ESME, 12, OutcomeResult::Succeeded),
        ("ALBION", ESME, 13, OutcomeResult::Suppressed),
        ("ALBION", OTHER, 12, OutcomeResult::Succeeded),
        ("BRIGHT", ESME, 14, OutcomeResult::Suppressed),
    ] {
        let mut one = outcome(&format!("{party} {number} {at}"), number, at);
        one.party_id = party.into();
        one.result = result.into();
        all.push(one);
    }
    record(&mut world.service.internal("dsp"), vec![outcomes(all)])
        .await
        .unwrap();
    world.flag(GSME, 10, Some(&[GPF])).await;
    let flagged = world.flag(ESME, 10, Some(&[])).await;
    world.november(flagged).await;
    world
}

fn row(
    number: u64,
    party: &str,
    [suppressed, failed, delivered]: [u64; 3],
) -> wire::ExceptedRequests {
    wire::ExceptedRequests {
        device_id: device(number).to_string(),
        party_id: party.into(),
        service_reference_variant: "4.8.1".into(),
        excepted: suppressed + failed + delivered,
        suppressed,
        failed,
        delivered,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excepted_requests_are_told_by_device() {
    let world = with_outcomes().await;
    let all = [
        row(GPF, "ALBION", [2, 1, 0]),
        row(ESME, "ALBION", [1, 0, 1]),
        row(ESME, "BRIGHT", [1, 0, 0]),
    ];
    for reader in ["analyst", "auditor", "operator"] {
        let mut reader = world.service.internal(reader);
        let answer = list(&mut reader, november()).await;
        assert_eq!(answer.rows, all);
        assert_eq!(answer.next_page_token, "");
        assert_eq!(answer.basis.unwrap().flags.unwrap().sequence, 2);
    }
    let mut analyst = world.service.internal("analyst");
    let broken = wire::ListExceptedRequestsRequest {
        delivered_only: true,
        ..november()
    };
    assert_eq!(list(&mut analyst, broken).await.rows, all[1..2]);
    // The sums are those of the Service Request report.
    let report = world.november(0).await.totals.unwrap().total.unwrap();
    assert_eq!((report.excepted, report.excepted_but_delivered), (6, 1));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_is_told_of_its_own_requests_only() {
    let world = with_outcomes().await;
    let of = |party: &str| wire::ListExceptedRequestsRequest {
        party_id: party.into(),
        ..november()
    };
    let mut bright = world.service.supplier("BRIGHT");
    let own = list(&mut bright, of("BRIGHT")).await;
    assert_eq!(own.rows, [row(ESME, "BRIGHT", [1, 0, 0])]);
    let not_own = (Code::PermissionDenied, ErrorReason::NotOwnData);
    for party in ["ALBION", "", "bright"] {
        let answer = bright.list_excepted_requests(of(party)).await;
        assert_eq!(refused(answer), not_own, "{party}");
    }
    let mut dsp = world.service.internal("dsp");
    assert_eq!(
        refused(dsp.list_excepted_requests(november()).await),
        (Code::PermissionDenied, ErrorReason::RoleNotPermitted)
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_list_go_on_for_the_same_caller_and_request_only() {
    let world = with_outcomes().await;
    let mut analyst = world.service.internal("analyst");
    let page = |token: &str| wire::ListExceptedRequestsRequest {
        page_size: 2,
        page_token: token.to_owned(),
        ..november()
    };
    let whole = list(&mut analyst, november()).await;
    let first = list(&mut analyst, page("")).await;
    let token = first.next_page_token;
    let last = list(&mut analyst, page(&token)).await;
    assert_eq!([first.rows, last.rows].concat(), whole.rows);
    assert_eq!(last.next_page_token, "");
    let not_ours = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    for other in [
        wire::ListExceptedRequestsRequest {
            month: "2026-10".into(),
            ..page(&token)
        },
        wire::ListExceptedRequestsRequest {
            party_id: "ALBION".into(),
            ..page(&token)
        },
        wire::ListExceptedRequestsRequest {
            delivered_only: true,
            ..page(&token)
        },
        page(&token[1..]),
    ] {
        let answer = analyst.list_excepted_requests(other).await;
        assert_eq!(refused(answer), not_ours);
    }
    let mut auditor = world.service.internal("auditor");
    assert_eq!(
        refused(auditor.list_excepted_requests(page(&token)).await),
        not_ours
    );
    for (month, party, size) in [
        ("", "", 0),
        ("2026-13", "", 0),
        ("2026-11", "no party", 0),
        ("2026-11", "", -1),
    ] {
        let request = wire::ListExceptedRequestsRequest {
            month: month.into(),
            party_id: party.into(),
            page_size: size,
            ..Default::default()
        };
        assert_eq!(
            refused(analyst.list_excepted_requests(request).await),
            (Code::InvalidArgument, ErrorReason::FieldInvalid)
        );
    }
    world.service.stop().await;
}

/// Whoever reads the list reads what consumers chose, as with the past of a flag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_of_a_page_are_on_record_before_the_answer() {
    let world = with_outcomes().await;
    let request = wire::ListExceptedRequestsRequest {
        delivered_only: true,
        ..november()
    };
    let mut analyst = world.service.internal("analyst");
    list(&mut analyst, request).await;
    let folder = temp_dir();
    let audit = world.folder.path().join("reporting-audit.db");
    let disk = OnDisk::copy(&audit, folder.path()).await;
    let [call] = disk.calls("ListExceptedRequests")[..] else {
        panic!("{disk:?}");
    };
    assert_eq!(call.caller.as_ref().unwrap().internal_role, "analyst");
    assert_eq!(call.device_pseudonyms, [disk.pseudonym(device(ESME))]);
    world.service.stop().await;
}
