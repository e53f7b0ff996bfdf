//! One octet of a file changes by itself.

use std::collections::BTreeMap;

use mesh_store::{Lost, Resolve};
use mesh_testkit::{temp_dir, wait_until};
use mp169::load::load;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::{HOMES, Town, decision};
use crate::downstream::{Read, classify};
use crate::engine::Databases;
use crate::process;
use crate::requests::rows;

const TEST: &str =
    "lost_state::octets::a_flipped_octet_of_the_wal_after_a_kill_is_told_and_a_backup_goes_on";

/// Of 95 acknowledged writes 28 were gone, and nobody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_octet_of_the_wal_after_a_kill_is_told_and_a_backup_goes_on() {
    if process::is_the_mesh().await {
        return;
    }
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    let backup = temp_dir();
    let backup = backup.path().join("flag-registry.db");
    let database = town.database(Service::FlagRegistry);
    mesh_store::backup(database.path(), &backup, &[])
        .await
        .unwrap();
    town.set(17..22).await;
    town.stop_all().await;
    let mut mesh = process::start(TEST, town.home(), &Databases::Files, false);
    wait_until("the process to serve", async || {
        town.try_set(Home::new(22)).await
    })
    .await;
    town.set(23..37).await;
    // Registration's -wal shall have more than the last commit: without that one it is like one that was cut off.
    for homes in [HOMES, HOMES + 10] {
        let more = rows(homes + 10).split_off(rows(homes).len());
        let loaded = load(town.folder(), more, |_| {}).await.unwrap();
        assert_eq!(loaded.refused, 0, "{loaded}");
    }
    all_agree(town.folder(), &csps).await;
    mesh.kill().await.unwrap();
    town.listens();

    for service in [
        Service::Registration,
        Service::CspNotification,
        Service::Reporting,
    ] {
        let whole = town.database(service).flip_middle("-wal");
        let said = town.refused(service).await;
        assert!(said.contains("-wal is damaged"), "{said}");
        town.database(service).write("-wal", &whole);
    }
    let whole = database.flip_middle("-wal");
    let flipped = database.read("-wal").unwrap();
    for (left, says) in [
        (&flipped[..], "-wal is damaged"),
        (&whole[..whole.len() / 2], "-wal is damaged"),
        (&[], "is older than the database that was here"),
    ] {
        database.write("-wal", left);
        let said = town.refused(Service::FlagRegistry).await;
        assert!(said.contains(says), "{said}");
    }
    database.write("-wal", &flipped);

    let restored = mesh_store::restore(
        &backup,
        database.path(),
        true,
        &[],
        &decision(),
        Resolve::CarryOut,
    )
    .await;
    let restored = restored.unwrap();
    assert_eq!(restored.logs[0].goes_on_after, 10);
    let [Lost { seen_up_to: 30, .. }] = &restored.logs[0].lost[..] else {
        panic!("{restored:?}");
    };
    let kept = restored
        .kept
        .iter()
        .map(|kept| std::fs::read(kept).unwrap());
    assert!(kept.into_iter().any(|kept| kept == flipped), "the evidence");
    town.start_all().await;
    town.now_has((17..37).map(Home::new), false);
    town.set(37..47).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 1, "its log goes on");
    }
    never_silent(&csps, &town.changes()).await;
}

/// How many of the places are tried at which the file speaks of one Device.
const PLACES: usize = 6;

/// A flag that is set must not look as if it were not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_octet_of_the_registry_has_nobody_read_in_silence() {
    let mut town = Town::start().await;
    town.set(7..27).await;
    all_agree(town.folder(), &[]).await;
    town.stop(Service::Classification).await;
    town.stop(Service::FlagRegistry).await;
    let database = town.database(Service::FlagRegistry);
    let newest = database.copy();
    let whole = database.read("").unwrap();
    let refusing: Vec<_> = (7..27)
        .map(|home| Home::new(home).esme().to_string())
        .collect();
    let mut found = BTreeMap::new();
    for place in places(&whole, &refusing[3]) {
        let mut content = whole.clone();
        content[place] ^= 1;
        database.put_back(&newest);
        database.write("", &content);
        town.launch(Service::FlagRegistry);
        town.launch(Service::Classification);
        let what = format!("the right answer or a word about octet {place}");
        let by = wait_until(&what, async || {
            if town.has_ended(Service::FlagRegistry) {
                return Ok("the start is refused");
            }
            if town.reason(Service::FlagRegistry).await.as_deref() == Some("damaged") {
                return Ok("health says damaged");
            }
            let decided = classify(town.folder(), refusing.clone(), None).await;
            let decided = decided.map_err(|status| status.to_string())?;
            let read = decided.iter().filter(|(read, _)| *read == Read::Deliver);
            match read.count() {
                0 => Ok("nobody is read"),
                some => Err(format!("{some} are read")),
            }
        })
        .await;
        *found.entry(by).or_insert(0) += 1;
        town.stop(Service::Classification).await;
        town.end(Service::FlagRegistry).await;
    }
    println!("{found:?}");
    database.put_back(&newest);
    town.start_service(Service::FlagRegistry).await;
    town.start_service(Service::Classification).await;
    town.set([27]).await;
    all_agree(town.folder(), &[]).await;
}

/// Octets of the name of a Device, and others throughout the file.
fn places(file: &[u8], device: &str) -> Vec<usize> {
    let names = file.windows(device.len()).enumerate();
    let names = names.filter(|(_, name)| name.eq_ignore_ascii_case(device.as_bytes()));
    let named = names
        .map(|(place, _)| place + device.len() - 1)
        .take(PLACES);
    let anywhere = (1..=PLACES).map(|part| part * file.len() / (PLACES + 1));
    named.chain(anywhere).collect()
}
