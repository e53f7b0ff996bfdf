//! What the service does while those whom it follows are away, or come back as others.

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_testkit::wait_until;
use tokio::net::TcpListener;
use tonic::Code;

use crate::upstream::{Log, Upstream};
use crate::world::{Running, World, flag_event, november, outcome, outcomes, record, refused};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_are_taken_while_nothing_can_be_followed_and_reports_wait() {
    let folder = mesh_testkit::temp_dir();
    let service = Running::start(&folder, NOWHERE, NOWHERE).await;
    let mut dsp = service.internal("dsp");
    let answer = record(&mut dsp, vec![outcomes(vec![outcome("a", 1, 1)])])
        .await
        .unwrap();
    assert_eq!(answer.recorded, 1);
    let mut analyst = service.internal("analyst");
    let not_yet = (Code::Unavailable, ErrorReason::FlagsNotLoaded);
    assert_eq!(
        refused(analyst.get_service_request_report(november()).await),
        not_yet
    );
    let request = wire::GetObligationReportRequest::default();
    assert_eq!(
        refused(analyst.get_obligation_report(request).await),
        not_yet
    );
    let request = wire::ListExceptedRequestsRequest {
        month: "2026-11".into(),
        ..Default::default()
    };
    assert_eq!(
        refused(analyst.list_excepted_requests(request).await),
        not_yet
    );
    let mut albion = service.supplier("ALBION");
    assert_eq!(
        refused(albion.get_service_request_report(november()).await),
        (Code::Unavailable, ErrorReason::DirectoryNotLoaded)
    );
    assert!(!service.is_serving().await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_go_on_while_those_it_follows_are_away() {
    let world = World::start(Vec::new()).await;
    let flagged = world.flag(1, 1, Some(&[])).await;
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, vec![outcomes(vec![outcome("a", 1, 2)])])
        .await
        .unwrap();
    let before = world.november(flagged).await;
    assert_eq!(before.totals.unwrap().total.unwrap().excepted, 1);
    world.registration.stop().await;
    world.flag_registry.stop().await;
    world.service.stop().await;

    let service = Running::start(&world.folder, NOWHERE, NOWHERE).await;
    let mut analyst = service.internal("analyst");
    let after = wait_until("both logs to be missed", async || {
        let answer = analyst.get_service_request_report(november()).await;
        let mut answer = answer.unwrap().into_inner();
        let basis = answer.basis.as_mut().unwrap();
        let since = (
            basis.flags_stale_since.take(),
            basis.devices_stale_since.take(),
        );
        match since {
            (Some(_), Some(_)) => Ok(answer),
            since => Err(format!("{since:?}")),
        }
    })
    .await;
    assert_eq!(after, before);
    service.stop().await;
}

/// A flag registry that lost its database: reports go on from what is known, and say since when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_say_since_when_a_log_is_not_followed() {
    let world = World::start(Vec::new()).await;
    let flagged = world.flag(1, 1, Some(&[])).await;
    let fresh = world.november(flagged).await.basis.unwrap();
    assert_eq!(
        (fresh.flags_stale_since, fresh.devices_stale_since),
        (None, None)
    );
    let address = world.flag_registry.address;
    world.flag_registry.stop().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let empty = Log::new("flags").await;
    let _flag_registry = Upstream::flag_registry(&empty, listener).await;

    let mut analyst = world.service.internal("analyst");
    wait_until("the registry to be told", async || {
        if empty.went_back() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let answer = analyst.get_service_request_report(november()).await;
    let basis = answer.unwrap().into_inner().basis.unwrap();
    assert_eq!(basis.flags, fresh.flags, "nothing of it is taken over");
    assert!(basis.flags_stale_since.is_some());
    assert_eq!(basis.devices_stale_since, None);
    assert!(world.service.is_serving().await);
    world.service.stop().await;
}

/// flag-registry was restored from a backup: its log has another epoch, and lacks an event that had
/// been followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_history_of_the_flags_replaces_what_was_known() {
    let world = World::start(Vec::new()).await;
    world.flag(1, 1, Some(&[])).await;
    let flagged = world.flag(2, 1, Some(&[])).await;
    let mut dsp = world.service.internal("dsp");
    let both = vec![outcome("a", 1, 2), outcome("b", 2, 2)];
    record(&mut dsp, vec![outcomes(both)]).await.unwrap();
    let before = world.november(flagged).await;
    assert_eq!(before.totals.unwrap().total.unwrap().excepted, 2);
    let address = world.flag_registry.address;
    world.flag_registry.stop().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let restored = Log::new("flags").await;
    restored.accept(&world.flags).await;
    restored.append(flag_event(1, 1, Some(&[]))).await;
    let _flag_registry = Upstream::flag_registry(&restored, listener).await;

    let mut analyst = world.service.internal("analyst");
    wait_until("the restored log to be followed", async || {
        let answer = analyst.get_service_request_report(november()).await;
        let total = answer.unwrap().into_inner().totals.unwrap().total.unwrap();
        if total.excepted == 1 {
            Ok(())
        } else {
            Err(format!("{total:?}"))
        }
    })
    .await;
    world.service.stop().await;
}
