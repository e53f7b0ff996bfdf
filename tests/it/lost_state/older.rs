//! An older database is put back together with all that lay beside it: by itself it is a good one,
//! and only those who followed its log know better.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mp169::sample::{BRIGHT, CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
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

    town.stop(Service::FlagRegistry).await;
    let newest = town.database(Service::FlagRegistry).copy();
    town.database(Service::FlagRegistry).put_back(&older);
    town.launch(Service::FlagRegistry);
    town.fails(Service::FlagRegistry, "log-went-back: flags")
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

    town.stop(Service::Registration).await;
    let newest = town.database(Service::Registration).copy();
    town.database(Service::Registration).put_back(&older);
    town.launch(Service::Registration);
    town.fails(Service::Registration, "log-went-back: parties")
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
