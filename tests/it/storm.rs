//! Do the promises of the mesh hold when everything happens at once?
//!
//! Suppliers set and lift the flags of a few Devices, while the same Devices change their supplier,
//! hub and GPF, and the suppliers are suspended and reinstated. Afterwards the logs are read: each
//! event of the log `flags` must rest on what was right at its position of the log `devices`, and
//! everybody downstream must have made the same of it.

mod actors;
mod checks;
mod import;
mod meters;
mod record;

use mesh_api::common::v1::Position;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_testkit::wait_until;
use mesh_types::{Clock as _, SystemClock};
use mp169::sample::{ALBION, CSP_NORTH, CSP_SOUTH, Home};

use crate::downstream;
use crate::engine::{Databases, on_each_engine};
use crate::mesh::TestMesh;
use crate::requests::{add, new_id, rows};
use crate::tape::Tape;
use actors::Storm;
use record::Record;

/// Tells the seed of a storm that is to be repeated.
const SEED: &str = "MP169_SEED";
/// A home that the storm leaves alone, but for its hub.
const CALM: Home = Home::new(7);

on_each_engine!(nothing_slips_between_check_and_commit);

async fn nothing_slips_between_check_and_commit(databases: Databases) {
    let seed = seed();
    println!("{SEED}={seed} repeats the choices of this storm");
    let mesh = TestMesh::without_quotas(databases).await;
    let flags = Tape::of_flags(mesh.folder());
    let devices = Tape::of_devices(mesh.folder());
    let parties = Tape::of_parties(mesh.folder());
    let north = Tape::of_csp(mesh.folder(), CSP_NORTH.id, CSP_NORTH.csp);
    let south = Tape::of_csp(mesh.folder(), CSP_SOUTH.id, CSP_SOUTH.csp);
    mesh.load(rows(10)).await;
    mesh.load(meters::spare_gpfs()).await;
    mesh.knows(CSP_SOUTH.id).await;
    let mut albion = mesh.clients(ALBION.id).flags().unwrap();
    let flagged = albion.add_flag(add(CALM.esme(), ALBION.id)).await;
    assert!(flagged.unwrap().into_inner().changed);

    let storm = Storm::rage(&mesh, seed).await;

    let (flags_head, devices_head) = quiesce(&mesh, &storm).await;
    let flags = flags.up_to(flags_head.sequence).await;
    let record = Record::of(&devices.up_to(devices_head.sequence).await);
    let entries = entries(&mesh).await;
    checks::events(&flags, &record);
    let parties = parties.up_to(storm.parties_head()).await;
    checks::calls(&flags, &parties, &storm);
    checks::entries(&entries, &flags, &record);
    let csps = [(CSP_NORTH.csp, &north), (CSP_SOUTH.csp, &south)];
    downstream::agree(mesh.folder(), &flags, csps, &flags_head, &devices_head).await;
    storm.was_one();
}

fn seed() -> u64 {
    let repeated = std::env::var(SEED).ok();
    repeated.map_or_else(rand::random, |seed| seed.parse().unwrap())
}

/// Waits until all that the storm planned has come true and flag-registry has followed it: the
/// log `devices` is applied in order, so one change after all others shows that. Gives the heads of
/// the logs `flags` and `devices`.
async fn quiesce(mesh: &TestMesh, storm: &Storm) -> (Position, Position) {
    wait_until("the last planned change of supplier", async || {
        let now = SystemClock.now();
        if now > storm.last_start() {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    let mut inventory = mesh.clients("operator").devices().unwrap();
    let request = registration::GetDeviceRequest {
        device_id: CALM.esme().to_string(),
        ..Default::default()
    };
    let device = inventory.get_device(request).await.unwrap();
    let moved = registration::Device {
        communications_hub_id: meters::HOMES[0].hub().to_string(),
        ..device.into_inner().device.unwrap()
    };
    let request = registration::PutDeviceRequest {
        request_id: new_id(),
        device: Some(moved),
        ..Default::default()
    };
    let put = inventory.put_device(request).await.unwrap();
    let devices = put.into_inner().position.unwrap();
    let mut client = mesh.clients("operator").flags().unwrap();
    let flags = wait_until("flag-registry to have followed", async || {
        let request = flags::GetFlagRequest {
            device_id: CALM.esme().to_string(),
            ..Default::default()
        };
        let answer = client.get_flag(request).await.unwrap().into_inner();
        let rests_on = answer.entry.unwrap().registration_position.unwrap();
        if rests_on == devices {
            Ok(answer.position.unwrap())
        } else {
            Err(format!("{rests_on:?}"))
        }
    })
    .await;
    (flags, devices)
}

/// Every entry as it stands.
async fn entries(mesh: &TestMesh) -> Vec<flags::FlagEntry> {
    let mut client = mesh.clients("operator").flags().unwrap();
    let request = flags::ListFlagsRequest {
        page_size: 1_000,
        ..Default::default()
    };
    client
        .list_flags(request)
        .await
        .unwrap()
        .into_inner()
        .entries
}
