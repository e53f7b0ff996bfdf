//! The databases of a mesh move to a server and back, and the mesh goes on with both.

use std::path::Path;

use futures::TryStreamExt as _;
use mesh_store::offline::Offline;
use mesh_store::{Location, copy};
use mesh_testkit::postgres;
use mp169::sample::{BRIGHT, CSP_NORTH, CSP_SOUTH, Home};
use mp169::schemas;
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_moves_to_a_server_and_back_and_goes_on_with_both() {
    // A service's own database, and that of its audit.
    let places = Service::ALL.map(|service| {
        let pair = (postgres::database()?, postgres::database()?);
        Some((service, pair))
    });
    let places: Vec<_> = places.into_iter().flatten().collect();
    if places.is_empty() {
        return;
    }
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    town.lift(7..9).await;
    town.change_supplier(Home::new(9), BRIGHT).await;
    all_agree(town.folder(), &csps).await;

    town.stop_all().await;
    for (service, (own, audit)) in &places {
        let (own, audit) = (own.url(), audit.url());
        for (file, url) in files(&town, *service).iter().zip([&audit, &own]) {
            moves(&file.as_path().into(), &url.parse().unwrap()).await;
        }
        town.moves(*service, &own, &audit);
    }
    town.start_all().await;
    town.set(17..22).await;
    town.lift([10]).await;
    all_agree(town.folder(), &csps).await;

    town.stop_all().await;
    for (service, (own, audit)) in &places {
        let urls = [audit.url(), own.url()];
        for (file, url) in files(&town, *service).iter().zip(urls) {
            put_away(file);
            moves(&url.parse().unwrap(), &file.as_path().into()).await;
        }
    }
    town.comes_back();
    town.start_all().await;
    town.set(22..27).await;
    town.lift([11]).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 1, "its log goes on");
    }
    never_silent(&csps, &town.changes()).await;
}

/// The file of a service's audit, and its own if it keeps anything.
fn files(town: &Town, service: Service) -> Vec<std::path::PathBuf> {
    let mut files = vec![town.audit(service).path().to_owned()];
    if service != Service::Classification {
        files.push(town.database(service).path().to_owned());
    }
    files
}

/// Old files are put away, as an operator is told to.
fn put_away(file: &Path) {
    let away = file.parent().unwrap().join("away");
    std::fs::create_dir_all(&away).unwrap();
    for suffix in ["", "-wal", ".witness"] {
        let mut name = file.file_name().unwrap().to_owned();
        name.push(suffix);
        let from = file.with_file_name(&name);
        if from.exists() {
            std::fs::rename(from, away.join(name)).unwrap();
        }
    }
}

/// Copies a database; its logs are the same, octet by octet.
async fn moves(from: &Location, to: &Location) {
    let copied = copy(from, to, &schemas::all(), |_| ()).await;
    let copied = copied.unwrap_or_else(|error| panic!("{from} to {to}: {error:?}"));
    let (before, after) = (events(from).await, events(to).await);
    assert!(before == after, "{from}: the events are not the same");
    let heads = copied.logs.iter().map(|head| head.position.sequence);
    assert_eq!(heads.sum::<u64>(), before.len() as u64);
}

/// Each event with its log, number, time and hashes.
async fn events(at: &Location) -> Vec<impl PartialEq + use<>> {
    let mut database = Offline::open(at).await.unwrap();
    let events = database.events().map_ok(|event| {
        let of = (event.log, event.sequence, event.recorded_time);
        (of, event.previous_hash, event.hash, event.event)
    });
    let mut events: Vec<_> = events.try_collect().await.unwrap();
    // A file gives them in the order in which they came, a server log by log.
    events.sort();
    events
}
