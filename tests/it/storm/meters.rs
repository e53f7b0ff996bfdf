//! Which meters does the storm go over, and what may become of them?

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1::{self as wire, inventory_row::Row};
use mesh_types::{DeviceId, Eui64};
use mp169::sample::{ALBION, BRIGHT, CALEDONIA, Home};

use crate::mesh::a_year_ago;

/// Few, so that much happens to each.
pub(super) const HOMES: [Home; 2] = [Home::new(8), Home::new(9)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fuel {
    Electricity,
    Gas,
}

/// A meter of one of the homes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    home: Home,
    fuel: Fuel,
}

impl Meter {
    /// All meters of one fuel.
    pub(super) fn of(fuel: Fuel) -> [Self; HOMES.len()] {
        HOMES.map(|home| Self { home, fuel })
    }

    pub(super) fn all() -> Vec<Self> {
        [Self::of(Fuel::Electricity), Self::of(Fuel::Gas)].concat()
    }

    pub(super) fn device(self) -> DeviceId {
        match self.fuel {
            Fuel::Electricity => self.home.esme(),
            Fuel::Gas => self.home.gsme(),
        }
    }

    pub(super) fn mpxn(self) -> String {
        match self.fuel {
            Fuel::Electricity => self.home.import_mpan().unwrap().to_string(),
            Fuel::Gas => self.home.mprn().unwrap().to_string(),
        }
    }

    /// Who may become its supplier.
    pub(super) const fn suppliers(self) -> [&'static str; 2] {
        match self.fuel {
            Fuel::Electricity => [ALBION.id, BRIGHT.id],
            Fuel::Gas => [ALBION.id, CALEDONIA.id],
        }
    }

    /// The GPFs that may mirror it, if it is a gas meter.
    pub(super) fn gpfs(self) -> Option<[DeviceId; 2]> {
        let gpfs = [self.home.gpf(), spare_gpf(self.home)];
        (self.fuel == Fuel::Gas).then_some(gpfs)
    }
}

fn spare_gpf(home: Home) -> DeviceId {
    DeviceId::new(Eui64::from_u64(home.gpf().eui64().to_u64() - 1))
}

/// A second GPF in each home.
pub(super) fn spare_gpfs() -> Vec<wire::InventoryRow> {
    let rows = HOMES.map(|home| wire::Device {
        device_id: spare_gpf(home).to_string(),
        r#type: DeviceType::Gpf.into(),
        smi_status: wire::SmiStatus::Commissioned.into(),
        smi_status_time: Some(timestamp_to_wire(a_year_ago())),
        communications_hub_id: home.hub().to_string(),
        ..wire::Device::default()
    });
    rows.map(|device| wire::InventoryRow {
        row: Some(Row::Device(device)),
    })
    .to_vec()
}
