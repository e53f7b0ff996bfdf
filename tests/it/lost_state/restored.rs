//! Nothing is left but backups: the mesh goes on from them on another disk.

use mesh_store::Resolve;
use mesh_testkit::temp_dir;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::{Town, decision};

/// Each follower is copied before those that it follows, as `mp169 backup` does.
const KEEPING: [Service; 4] = [
    Service::Reporting,
    Service::CspNotification,
    Service::FlagRegistry,
    Service::Registration,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_that_lost_its_disk_goes_on_from_backups_of_different_moments() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let backups = temp_dir();
    let backup = |service: Service| backups.path().join(service.name());
    for (service, home) in KEEPING.into_iter().zip(17..) {
        let from = town.database(service);
        let made = mesh_store::backup(from.path(), &backup(service), &[]).await;
        made.unwrap();
        // The next one has seen more.
        town.set([home]).await;
        town.lift([home - 10]).await;
    }
    town.set(21..37).await;
    all_agree(town.folder(), &csps).await;
    town.stop_all().await;

    for service in KEEPING {
        let lost = town.database(service);
        lost.remove("");
        lost.remove(".witness");
        let (backup, decision) = (backup(service), decision());
        let restored = mesh_store::restore(
            &backup,
            lost.path(),
            false,
            &[],
            &decision,
            Resolve::CarryOut,
        )
        .await;
        assert!(restored.unwrap().kept.is_empty());
    }
    town.start_all().await;
    // The registry's backup has the changes that were made while the two before it were.
    town.now_has((19..37).map(Home::new), false);
    town.now_has([9, 10].map(Home::new), true);
    town.everybody_knows_the_parties().await;
    town.set([37, 38]).await;
    town.lift([11, 17]).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 2, "{} starts over, once", csp.id);
    }
    never_silent(&csps, &town.changes()).await;
}
