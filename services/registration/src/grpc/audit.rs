//! Which Devices is a change about, for the audit?
//!
//! They are noted before it is decided, so that a refusal names them too, and so does a call whose caller
//! went away.

use std::collections::BTreeSet;

use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::registration::v1::row_result::Outcome;
use mesh_authz::{Authorization, Rows};
use mesh_types::{DeviceId, Mpxn};
use tonic::Status;

use super::store_failed;
use crate::store::Inventory;

/// Notes the Device that a request names, if it names one.
pub(super) fn note_device(authorization: &Authorization, id: Option<&str>) {
    if let Some(device) = id.and_then(device) {
        authorization.notes().device(device);
    }
}

/// Notes the Devices at the MPxN that a request names.
pub(super) async fn note_point(
    inventory: &Inventory,
    authorization: &Authorization,
    mpxn: &str,
) -> Result<(), Status> {
    if let Ok(mpxn) = mpxn.parse::<Mpxn>() {
        let devices = inventory.devices_at([&mpxn]).await.map_err(store_failed)?;
        authorization.notes().devices(devices);
    }
    Ok(())
}

/// Notes the Devices that the rows of a load name, and those at the MPxNs that they name.
pub(super) async fn note_rows(
    inventory: &Inventory,
    authorization: &Authorization,
    rows: &[wire::InventoryRow],
) -> Result<(), Status> {
    let points: BTreeSet<Mpxn> = rows.iter().filter_map(point_of).collect();
    let mut devices = inventory.devices_at(&points).await.map_err(store_failed)?;
    devices.extend(rows.iter().filter_map(device_of));
    authorization.notes().devices(devices);
    Ok(())
}

/// Notes what became of the rows of a load.
pub(super) fn note_results(
    authorization: &Authorization,
    rows: &[wire::InventoryRow],
    answer: &wire::ImportInventoryResponse,
) {
    let mut counts = Rows::default();
    let mut refused = BTreeSet::new();
    for (row, result) in rows.iter().zip(&answer.results) {
        match result.outcome() {
            Outcome::Recorded => counts.recorded += 1,
            Outcome::Unchanged => counts.unchanged += 1,
            Outcome::Unspecified => {
                counts.refused += 1;
                refused.extend(device_of(row));
            }
        }
    }
    let notes = authorization.notes();
    notes.refused(refused);
    notes.answered(answer.position.as_ref());
    notes.end_request(counts);
}

fn device(id: &str) -> Option<DeviceId> {
    id.parse().ok()
}

fn device_of(row: &wire::InventoryRow) -> Option<DeviceId> {
    match &row.row {
        Some(Row::Device(named)) => device(&named.device_id),
        _ => None,
    }
}

fn point_of(row: &wire::InventoryRow) -> Option<Mpxn> {
    match &row.row {
        Some(Row::Registration(named)) => named.mpxn.parse().ok(),
        _ => None,
    }
}
