//! Batches that are numbered, exceptions that are settled, and months by other clocks.

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_testkit::wait_until;
use mesh_types::Timestamp;
use tonic::Code;

use crate::world::{Client, World, hour, november, outcome, outcomes, record, refused};

const METER: u64 = 0xE1;

fn numbered(batch_number: u64, ids: &[&str]) -> wire::RecordOutcomesRequest {
    let each = ids.iter().map(|id| outcome(id, METER, 12));
    wire::RecordOutcomesRequest {
        batch_number,
        ..outcomes(each.collect())
    }
}

async fn report(client: &mut Client) -> wire::GetServiceRequestReportResponse {
    let answer = client.get_service_request_report(november()).await;
    answer.unwrap().into_inner()
}

/// A stream is cut, the service starts again, and the producer goes on behind what was kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_stream_of_batches_goes_on_behind_the_last_one() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let answer = record(
        &mut dsp,
        vec![numbered(1, &["a", "b"]), numbered(2, &["a"])],
    )
    .await;
    let answer = answer.unwrap();
    assert_eq!((answer.recorded, answer.last_batch_number), (3, 2));
    // The ids of batches are not compared with each other; the number says that this one has come before.
    let world = world.restart().await;
    let mut dsp = world.service.internal("dsp");
    let asked = record(&mut dsp, vec![numbered(0, &[])]).await.unwrap();
    assert_eq!(asked.last_batch_number, 2);
    let again = vec![numbered(2, &["a"]), numbered(3, &["c"])];
    let answer = record(&mut dsp, again).await.unwrap();
    assert_eq!(
        (answer.recorded, answer.duplicates, answer.last_batch_number),
        (1, 1, 3)
    );

    let gap = record(&mut dsp, vec![numbered(4, &["d"]), numbered(6, &["f"])]).await;
    let status = gap.as_ref().unwrap_err();
    assert!(status.message().contains("number 5"), "{status:?}");
    let out_of_order = (Code::FailedPrecondition, ErrorReason::BatchOutOfOrder);
    assert_eq!(refused(gap), out_of_order);
    let without = record(&mut dsp, vec![numbered(0, &["e"])]).await;
    assert_eq!(refused(without), out_of_order);
    let reused = record(&mut dsp, vec![numbered(4, &["e"])]).await;
    assert_eq!(
        refused(reused),
        (Code::AlreadyExists, ErrorReason::RequestIdReused)
    );
    let mut analyst = world.service.internal("analyst");
    assert_eq!(report(&mut analyst).await.basis.unwrap().outcomes, 5);
    world.service.stop().await;
}

/// What the registry says of its log decides how much may still change, and changes nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_settled_once_the_flags_of_it_are_known() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    let each = (0..30 * 24).map(|at| outcome(&at.to_string(), METER, at));
    record(&mut dsp, vec![outcomes(each.collect())])
        .await
        .unwrap();
    world.flag(METER, 10, Some(&[])).await;
    let lifted = world.flag(METER, 25, None).await;
    let before = world.november(lifted).await;
    let basis = before.basis.unwrap();
    assert_eq!((basis.open_outcomes, basis.settled_until), (720, None));
    let excepted = |of: &Option<wire::ServiceRequestFigures>| {
        of.as_ref().unwrap().total.as_ref().unwrap().excepted
    };
    assert_eq!(excepted(&before.totals), 15);

    let mut analyst = world.service.internal("analyst");
    for (looked, open) in [(20, 700), (32 * 24, 0)] {
        let at = hour(looked).seconds * 1_000_000 + 60_000_000;
        world.flags.clock.set(Timestamp::from_micros(at));
        let after = wait_until("the exceptions to be settled", async || {
            let after = report(&mut analyst).await;
            let until = after.basis.as_ref().unwrap().settled_until;
            match until == Some(hour(looked)) {
                true => Ok(after),
                false => Err(format!("{until:?}")),
            }
        })
        .await;
        assert_eq!(after.basis.as_ref().unwrap().open_outcomes, open);
        assert_eq!(
            (after.rows, after.totals),
            (before.rows.clone(), before.totals)
        );
    }
    let mut supplier = world.service.supplier("ALBION");
    let request = wire::ListExceptedRequestsRequest {
        month: "2026-11".into(),
        party_id: "ALBION".into(),
        ..Default::default()
    };
    let listed = supplier.list_excepted_requests(request).await.unwrap();
    assert_eq!(listed.into_inner().rows[0].excepted, 15);
    world.service.stop().await;
}

/// In October the clocks of Great Britain are an hour ahead of UTC, but for its last week.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_that_of_the_zone_which_is_asked_for() {
    let world = World::start(Vec::new()).await;
    let seen = world.flag(METER, 0, Some(&[])).await;
    world.november(seen).await;
    let mut dsp = world.service.internal("dsp");
    let october = -31 * 24;
    let each =
        [october - 2, october - 1, october, -1, 0].map(|at| outcome(&at.to_string(), METER, at));
    record(&mut dsp, vec![outcomes(each.to_vec())])
        .await
        .unwrap();
    let mut analyst = world.service.internal("analyst");
    for (zone, month, sent) in [
        (wire::MonthZone::Unspecified, "2026-10", 2),
        (wire::MonthZone::Utc, "2026-10", 2),
        (wire::MonthZone::EuropeLondon, "2026-10", 3),
        (wire::MonthZone::Utc, "2026-09", 2),
        (wire::MonthZone::EuropeLondon, "2026-09", 1),
        (wire::MonthZone::EuropeLondon, "2026-11", 1),
    ] {
        let request = wire::GetServiceRequestReportRequest {
            month: month.into(),
            month_zone: zone.into(),
            ..Default::default()
        };
        let answer = analyst.get_service_request_report(request).await.unwrap();
        let totals = answer.into_inner().totals.unwrap();
        let counted = totals.total.unwrap().sent;
        assert_eq!(counted, sent, "{month} {zone:?}");
    }
    let request = wire::GetServiceRequestReportRequest {
        month_zone: 7,
        ..november()
    };
    let answer = analyst.get_service_request_report(request).await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    world.service.stop().await;
}
