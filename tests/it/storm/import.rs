//! Can a flag be set while the inventory is loaded?
//!
//! Every row that is loaded moves the position of the log `devices` on, though it says nothing of
//! the Device that is flagged.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use mesh_api::registration::v1::{InventoryRow, inventory_row::Row};
use mp169::load::load;
use mp169::sample::{ALBION, Home};

use crate::engine::{Databases, on_each_engine};
use crate::mesh::TestMesh;
use crate::requests::{add, rows};

/// The homes that are loaded; the supplier's own stands before them.
const LOADED: u16 = 80;
const HOME: Home = Home::new(8);
/// How many load at the same time.
const LOADERS: usize = 8;
const CALLERS: usize = 4;
/// How often each caller sets the flag.
const CALLS: usize = 20;

on_each_engine!(a_load_of_the_inventory_turns_no_supplier_away);

async fn a_load_of_the_inventory_turns_no_supplier_away(databases: Databases) {
    let mesh = TestMesh::without_quotas(databases).await;
    mesh.load(rows(LOADED)).await;
    mesh.knows(ALBION.id).await;
    let over = AtomicBool::new(false);
    let meters = meters();
    let loaders = meters
        .chunks(meters.len().div_ceil(LOADERS))
        .map(async |rows| {
            let mut loads = 0;
            while !over.load(Ordering::Relaxed) {
                loads += 1;
                let rows = rows.iter().map(|row| changed(row, loads)).collect();
                let loaded = load(mesh.folder(), rows, |_| {}).await.unwrap();
                assert_eq!(loaded.refused, 0, "{loaded}");
            }
        });
    let callers = join_all((0..CALLERS).map(async |_| {
        let mut flags = mesh.clients(ALBION.id).flags().unwrap();
        for _ in 0..CALLS {
            flags.add_flag(add(HOME.esme(), ALBION.id)).await.unwrap();
        }
    }));
    let callers = async {
        callers.await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(callers, join_all(loaders));
}

/// The rows of the meters of all ordinary homes but the supplier's own.
fn meters() -> Vec<InventoryRow> {
    let others = Home::new(9).hub().to_string();
    let is_others = |row: &InventoryRow| matches!(&row.row, Some(Row::Device(device)) if device.device_id == others);
    let is_meter = |row: &InventoryRow| matches!(&row.row, Some(Row::Device(device)) if device.smets_version.is_some());
    let rows = rows(LOADED).into_iter();
    rows.skip_while(|row| !is_others(row))
        .filter(is_meter)
        .collect()
}

/// The row with something else than what was loaded before.
fn changed(row: &InventoryRow, minor: u32) -> InventoryRow {
    let mut row = row.clone();
    if let Some(Row::Device(device)) = &mut row.row {
        device.smets_version.as_mut().unwrap().minor = minor;
    }
    row
}
