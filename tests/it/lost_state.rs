//! What becomes of state that goes back, or goes away?
//!
//! Somebody puts an older database back, deletes one, or damages it, as happens with disks and
//! backups. Each attack is shown as whoever runs the mesh would see it, and ends with the same check:
//! everybody has made the same of the log `flags`, and each CSP's own log has gone on.

mod accepted;
mod check;
mod csp;
mod cut_off;
mod files;
mod followers;
mod full_disk;
mod gate;
mod missing;
mod moved;
mod octets;
mod older;
mod restored;
mod running;
mod servers;
mod silence;
mod town;

use mp169::sample::{CSP_NORTH, CSP_SOUTH};
use mp169::service::Service;

use check::all_agree;
use csp::Csp;
use town::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_comes_back_by_itself_with_what_it_had() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    for (number, service) in (0..).zip(Service::ALL) {
        town.stop(service).await;
        let copy = town.database(service).copy();
        town.database(service).put_back(&copy);
        town.start_service(service).await;
        town.set([20 + number]).await;
        town.lift([7 + number]).await;
        all_agree(town.folder(), &csps).await;
    }
}
