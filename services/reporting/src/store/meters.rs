//! How are meters kept as they are now?

use std::collections::BTreeMap;

use mesh_store::sql::{Columns, Conn, QueryBuilder};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::DeviceId;

use crate::obligation::{Meter, MeterChange, MeterChanges};

/// How many columns a meter has.
pub(super) const COLUMNS: usize = 5;

/// Records the meters and suppliers that `changes` come to.
pub(super) async fn change(conn: &mut Conn, changes: &[MeterChange]) -> Result<(), StoreError> {
    let changes = MeterChanges::of(changes);
    let recorded: Vec<&Meter> = changes.recorded.values().collect();
    insert_rows(
        conn,
        "INSERT INTO meter (device_id, device_type, smets_major, smi_status, party_id)",
        &recorded,
        COLUMNS,
        "ON CONFLICT (device_id) DO UPDATE SET device_type = excluded.device_type, \
         smets_major = excluded.smets_major, smi_status = excluded.smi_status, \
         party_id = excluded.party_id",
        |row, meter| bind(row, meter),
    )
    .await?;
    let mut by_supplier: BTreeMap<&str, Vec<DeviceId>> = BTreeMap::new();
    for (&device, supplier) in &changes.suppliers {
        let supplier = supplier.as_ref().map_or("", |party| party.as_str());
        by_supplier.entry(supplier).or_default().push(device);
    }
    for (supplier, devices) in by_supplier {
        for chunk in devices.chunks(MAX_BINDS - 1) {
            let mut query = QueryBuilder::new("UPDATE meter SET party_id = ");
            query.push_bind(supplier).push(" WHERE device_id ");
            query.push_in(chunk.iter().map(ToString::to_string));
            query.build().execute(&mut *conn).await?;
        }
    }
    Ok(())
}

/// The values of a meter's columns, in their order.
pub(super) fn bind(mut row: Columns<'_>, meter: &Meter) {
    let kind = i32::from(meter.facts.fuel.device_type());
    let supplier = meter.supplier.as_ref();
    row.push_bind(meter.device.to_string())
        .push_bind(i64::from(kind))
        .push_bind(i64::from(meter.facts.smets_major))
        .push_bind(i64::from(meter.facts.smi_status))
        .push_bind(supplier.map_or("", |party| party.as_str()).to_owned());
}
