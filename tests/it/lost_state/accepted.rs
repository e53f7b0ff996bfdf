//! An operator accepts what a database has lost. Everybody then has what is left, and no more.

use std::collections::BTreeSet;
use std::ops::Range;

use mesh_api::common::v1::ErrorReason;
use mesh_api::csp_notification::v1::{CauseClass, CspFlagState};
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use mp169::sample::{ALBION, BRIGHT, CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_accepted_loss_of_flags_everybody_has_the_flags_that_are_left() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let older = town.copy(Service::FlagRegistry).await;
    town.lift(7..12).await;
    town.set(17..37).await;
    all_agree(town.folder(), &csps).await;
    let before = csps.each_ref().map(|csp| csp.told().len());

    town.goes_back(Service::FlagRegistry, &older, "log-went-back: flags")
        .await;
    town.stop(Service::FlagRegistry).await;
    let accepted = town.accept_loss(Service::FlagRegistry).await;
    let [flags] = &accepted.logs[..] else {
        panic!("{accepted:?}");
    };
    assert_eq!(flags.goes_on_after, 10);
    assert!(flags.lost.iter().any(|lost| lost.seen_up_to == 35));
    town.start_service(Service::FlagRegistry).await;
    town.now_has((7..12).map(Home::new), true);
    town.now_has((17..37).map(Home::new), false);
    town.set(37..47).await;
    town.lift([12]).await;
    all_agree(town.folder(), &csps).await;

    let lost = [(7..12, true), (17..37, false)];
    for (csp, before) in csps.iter().zip(before) {
        corrected(csp, before, lost.clone());
    }
    // What everybody remembers of the new history outlives them.
    town.stop_all().await;
    town.start_all().await;
    town.set([17]).await;
    all_agree(town.folder(), &csps).await;

    // The same old file once more.
    town.stop(Service::FlagRegistry).await;
    let database = town.database(Service::FlagRegistry);
    database.put_back_under_the_witness(&older);
    let said = town.refused(Service::FlagRegistry).await;
    assert!(said.contains("is another database"), "{said}");
    town.accept_loss(Service::FlagRegistry).await;
    town.start_service(Service::FlagRegistry).await;
    town.now_has([Home::new(12)], true);
    town.now_has((37..47).chain([17]).map(Home::new), false);
    town.lift([13]).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 1, "its log goes on");
    }
    never_silent(&csps, &town.changes()).await;
}

/// Fails unless the events after the first `before` that a CSP was told say of each of its meters in
/// these homes whether it is reduced now, and that nobody did that.
fn corrected<const N: usize>(csp: &Csp, before: usize, homes: [(Range<u16>, bool); N]) {
    let told = csp.told().split_off(before).into_iter();
    let corrections = told.filter(|change| change.cause_class() == CauseClass::Resync);
    let corrections = corrections.map(|change| {
        let reduced = change.state() == CspFlagState::Reduced;
        (change.device_id, reduced)
    });
    let corrections: BTreeSet<_> = corrections.collect();
    for (homes, reduced) in homes {
        let own = homes.map(Home::new).filter(|home| home.csp() == csp.id);
        for home in own {
            let correction = (home.esme().to_string(), reduced);
            assert!(corrections.contains(&correction), "{correction:?}");
        }
    }
}

/// New events get old numbers while nobody is there who has seen the old ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_registry_that_wrote_on_is_corrected_once_the_loss_is_accepted() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let older = town.copy(Service::FlagRegistry).await;
    town.lift(7..12).await;
    town.set(17..27).await;
    all_agree(town.folder(), &csps).await;
    let followers = [
        Service::Classification,
        Service::CspNotification,
        Service::Reporting,
    ];
    for service in followers {
        town.stop(service).await;
    }
    town.stop(Service::FlagRegistry).await;
    town.database(Service::FlagRegistry).put_back(&older);
    town.start_service(Service::FlagRegistry).await;
    town.set(27..32).await;
    town.lift([12]).await;

    town.start_service(Service::CspNotification).await;
    let differs = [
        (7..12, true),
        (12..13, false),
        (17..27, false),
        (27..32, true),
    ];
    for (homes, reduced) in differs {
        town.now_has(homes.map(Home::new), reduced);
    }
    town.fails(Service::FlagRegistry, "log-went-back: flags")
        .await;
    never_silent(&csps, &town.changes()).await;
    town.stop(Service::FlagRegistry).await;
    let accepted = town.accept_loss(Service::FlagRegistry).await;
    assert_eq!(accepted.logs[0].goes_on_after, 16);
    for service in [
        Service::FlagRegistry,
        Service::Classification,
        Service::Reporting,
    ] {
        town.start_service(service).await;
    }
    town.set(32..37).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 1, "its log goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_accepted_loss_of_registrations_suppliers_have_what_is_left() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let older = town.copy(Service::Registration).await;
    let (moved, theirs) = (Home::new(8), Home::new(11));
    town.change_supplier(moved, BRIGHT).await;
    town.refuses(moved, ErrorReason::NotResponsibleSupplier)
        .await;
    town.suspend(BRIGHT).await;
    town.refuses(theirs, ErrorReason::PartyNotActive).await;
    all_agree(town.folder(), &csps).await;

    town.goes_back(Service::Registration, &older, "log-went-back: devices")
        .await;
    town.stop(Service::Registration).await;
    let accepted = town.accept_loss(Service::Registration).await;
    let logs: Vec<_> = accepted.logs.iter().map(|new| new.log.as_str()).collect();
    assert_eq!(logs, ["devices", "parties"]);
    town.start_service(Service::Registration).await;
    town.everybody_knows_the_parties().await;

    let not_yet = Some(ErrorReason::AuthorityChanged);
    wait_until("flag-registry to follow the new history", async || {
        let written = town.try_set(Home::new(17)).await;
        written.inspect_err(|status| assert_eq!(reason_of(status), not_yet, "{status:?}"))
    })
    .await;
    // The change of supplier and the suspension are lost, and can be made again.
    assert_eq!(
        (moved.electricity().id, theirs.electricity().id),
        (ALBION.id, BRIGHT.id)
    );
    town.lift([8, 11]).await;
    town.set([8, 11, 18]).await;
    all_agree(town.folder(), &csps).await;
    town.suspend(BRIGHT).await;
    town.refuses(theirs, ErrorReason::PartyNotActive).await;
    town.change_supplier(moved, BRIGHT).await;
    town.refuses(moved, ErrorReason::NotResponsibleSupplier)
        .await;
    // What everybody remembers of the new history outlives them.
    town.stop_all().await;
    town.start_all().await;
    town.lift([10]).await;
    town.refuses(moved, ErrorReason::NotResponsibleSupplier)
        .await;
    all_agree(town.folder(), &csps).await;
    never_silent(&csps, &town.changes()).await;
}
