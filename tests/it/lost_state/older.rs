//! An older database is put back together with all that lay beside it: by itself it is a good one,
//! and only those who followed its log know better.

use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::csp_notification::v1::GetSubscriptionRequest;
use mesh_api::status::reason_of;
use mp169::clients::Clients;
use mp169::sample::{BRIGHT, CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;
use crate::downstream::{Read, classify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_registry_writes_nothing_and_the_consumers_refusals_stand() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let older = town.copy(Service::FlagRegistry).await;
    town.lift(7..12).await;
    town.set(17..37).await;
    all_agree(town.folder(), &csps).await;

    let newest = town
        .goes_back(Service::FlagRegistry, &older, "log-went-back: flags")
        .await;
    for home in 37..47 {
        let refusal = town.try_set(Home::new(home)).await.unwrap_err();
        assert_eq!(reason_of(&refusal), Some(ErrorReason::LogWentBack));
    }
    // Those of the flags that the older database does not know, too.
    let refusing = (17..37).map(|home| Home::new(home).esme().to_string());
    for (read, _) in classify(town.folder(), refusing, None).await.unwrap() {
        assert_eq!(read, Read::Suppress);
    }

    town.stop(Service::FlagRegistry).await;
    town.database(Service::FlagRegistry).put_back(&newest);
    town.start_service(Service::FlagRegistry).await;
    town.set(37..47).await;
    all_agree(town.folder(), &csps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_registration_writes_nothing_and_a_suspension_stands() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let older = town.copy(Service::Registration).await;
    town.suspend(BRIGHT).await;
    let theirs = Home::new(11);
    assert_eq!(theirs.electricity().id, BRIGHT.id);
    town.refuses(theirs, ErrorReason::PartyNotActive).await;

    let newest = town
        .goes_back(Service::Registration, &older, "log-went-back: parties")
        .await;
    let refusal = town.try_set(theirs).await.unwrap_err();
    assert_eq!(reason_of(&refusal), Some(ErrorReason::PartyNotActive));

    town.stop(Service::Registration).await;
    town.database(Service::Registration).put_back(&newest);
    town.start_service(Service::Registration).await;
    town.set([18]).await;
    town.refuses(theirs, ErrorReason::PartyNotActive).await;
    all_agree(town.folder(), &csps).await;
}

/// What a CSP was told nobody else has seen, and so only that CSP is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_csp_notification_tells_nothing_to_a_csp_that_has_seen_more() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    let [north, south] = &csps;
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    let older = town.copy(Service::CspNotification).await;
    // North's alone.
    town.lift([8]).await;
    town.set([18, 20, 22]).await;
    all_agree(town.folder(), &csps).await;

    town.stop(Service::CspNotification).await;
    let database = town.database(Service::CspNotification);
    let newest = database.copy();
    database.put_back(&older);
    town.start_service(Service::CspNotification).await;
    north.is_refused(ErrorReason::LogWentBack).await;
    town.set([23, 24]).await;
    all_agree(town.folder(), [south]).await;
    let (seen, since) = went_back(&town, CSP_NORTH.csp).await.unwrap();
    assert_eq!((&*seen.log, seen.sequence, since), ("csp/north", 9, true));
    assert_eq!(went_back(&town, CSP_SOUTH.csp).await, None);

    // The right file back, and then the older one for good.
    town.stop(Service::CspNotification).await;
    database.put_back(&newest);
    town.start_service(Service::CspNotification).await;
    south.is_refused(ErrorReason::LogWentBack).await;
    all_agree(town.folder(), [north]).await;
    assert_eq!(went_back(&town, CSP_NORTH.csp).await, None);
    town.stop(Service::CspNotification).await;
    database.put_back(&older);
    town.start_service(Service::CspNotification).await;
    for csp in &csps {
        csp.is_refused(ErrorReason::LogWentBack).await;
        assert_eq!(csp.snapshots(), 1);
    }
    town.stop(Service::CspNotification).await;
    let accepted = town.accept_loss(Service::CspNotification).await;
    let lost = accepted.logs.iter().flat_map(|new| &new.lost);
    let by: Vec<_> = lost.map(|lost| &*lost.by).collect();
    assert_eq!(by, [CSP_NORTH.csp, CSP_SOUTH.csp]);
    town.start_service(Service::CspNotification).await;
    town.set([25, 26]).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 2, "{} starts over, once", csp.id);
    }
    never_silent(&csps, &town.changes()).await;
}

/// All the databases of a machine, as when somebody puts an image of it back: they agree, and only the
/// CSPs know that there was more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_went_back_as_a_whole_is_known_to_the_csps() {
    const KEEPING: [Service; 4] = [
        Service::Registration,
        Service::FlagRegistry,
        Service::CspNotification,
        Service::Reporting,
    ];
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    town.stop_all().await;
    let older = KEEPING.map(|service| town.database(service).copy());
    town.start_all().await;
    town.lift(7..12).await;
    town.set(17..27).await;
    all_agree(town.folder(), &csps).await;
    town.stop_all().await;
    for (service, older) in KEEPING.into_iter().zip(&older) {
        town.database(service).put_back(older);
    }
    town.start_all().await;
    town.set(27..37).await;
    for csp in &csps {
        csp.is_refused(ErrorReason::LogWentBack).await;
        assert_eq!(csp.snapshots(), 1);
    }
    all_agree(town.folder(), []).await;

    town.stop(Service::CspNotification).await;
    town.accept_loss(Service::CspNotification).await;
    town.start_service(Service::CspNotification).await;
    town.now_has((7..12).map(Home::new), true);
    town.now_has((17..27).map(Home::new), false);
    all_agree(town.folder(), &csps).await;
    never_silent(&csps, &town.changes()).await;
}

/// What a CSP has seen of its log that the log lacks, as operators are shown it, and whether they are told
/// since when.
async fn went_back(town: &Town, csp: &str) -> Option<(Position, bool)> {
    let operator = Clients::of(town.folder(), "operator").unwrap();
    let request = GetSubscriptionRequest {
        csp_id: csp.to_owned(),
    };
    let answer = operator.csp().unwrap().get_subscription(request).await;
    let found = answer.unwrap().into_inner().subscription.unwrap();
    Some((found.went_back_seen?, found.went_back_since.is_some()))
}
