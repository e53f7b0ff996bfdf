//! The disk on which all the databases are is really full: a small tmpfs, where the test may mount one.

use std::time::{Duration, Instant};

use mesh_api::operations::v1::DatabaseCondition;
use mesh_testkit::{SmallDisk, wait_until};
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;
use tonic::Status;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;
use crate::downstream::{Read, classify};

/// How long an operator may be left without a word.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_the_mesh_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::of(96) else {
        return;
    };
    let town = Town::start_in(disk.path()).await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    disk.fill();
    let mut homes = (17..47).map(Home::new);
    let refused = loop {
        let home = homes.next().expect("the disk takes everything");
        if town.try_set(home).await.is_err() {
            break home;
        }
    };
    let since = Instant::now();
    // Calls cannot be put on record either, which health may say first.
    let reasons = ["cannot-write", "audit-cannot-be-written"];
    town.fails_for_one_of(Service::FlagRegistry, &reasons).await;
    assert!(since.elapsed() <= TOLD_WITHIN, "{:?}", since.elapsed());
    wait_until("operators to be told of the database", async || match town
        .condition(Service::FlagRegistry)
        .await?
    {
        DatabaseCondition::CannotWrite => Ok(()),
        other => Err(Status::unavailable(other.as_str_name())),
    })
    .await;
    // Who refused is not read, and who may be read is.
    let devices = [7, 47].map(|home| Home::new(home).esme().to_string());
    let decided = classify(town.folder(), devices, None).await.unwrap();
    assert_eq!(
        (decided[0].0, decided[1].0),
        (Read::Suppress, Read::Deliver)
    );

    disk.make_room();
    for service in Service::ALL {
        town.serves(service).await;
    }
    wait_until("what was refused to be taken", async || {
        town.try_set(refused).await
    })
    .await;
    all_agree(town.folder(), &csps).await;
    never_silent(&csps, &town.changes()).await;
}
