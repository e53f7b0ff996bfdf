//! Rows of a bulk load on the wire.

use mesh_api::common::v1::ItemStatus;
use mesh_api::convert::FieldErrors;
use mesh_api::registration::v1::InventoryRow;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::status::item_status;
use mesh_types::{Interval, Mpxn, PartyId, Timestamp};

use super::{Fields, read_device, read_party, read_registration};
use crate::device::Device;
use crate::error::Error;
use crate::party::Party;

/// What a row asks to record.
pub(crate) enum Loadable {
    /// A party.
    Party(Party),
    /// A Device.
    Device(Device),
    /// A registration with its interval.
    Registration(Mpxn, PartyId, Interval),
}

/// Reads a row that a caller sent at `now`.
pub(crate) fn read_row(row: &InventoryRow, now: Timestamp) -> Result<Loadable, FieldErrors> {
    let mut errors = FieldErrors::default();
    let read = match &row.row {
        Some(Row::Party(party)) => {
            let fields = &mut Fields::of("party", &mut errors);
            read_party(party, fields).map(Loadable::Party)
        }
        Some(Row::Device(device)) => {
            let fields = &mut Fields::of("device", &mut errors);
            read_device(device, fields, now).map(Loadable::Device)
        }
        Some(Row::Registration(registration)) => {
            let fields = &mut Fields::of("registration", &mut errors);
            let read = read_registration(registration, fields, now);
            read.map(|(mpxn, party, interval)| Loadable::Registration(mpxn, party, interval))
        }
        None => {
            errors.add("row", "is missing");
            None
        }
    };
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        _ => Err(errors),
    }
}

/// Why a row that is sent at `now` would be refused whatever is recorded; `None` if it depends on
/// that. For whoever wants to know before sending it.
#[must_use]
pub fn refusal_of_row(row: &InventoryRow, now: Timestamp) -> Option<ItemStatus> {
    let errors = read_row(row, now).err()?;
    Some(item_status(&Error::Fields(errors).into()))
}
