//! The sample inventory: three suppliers, an agent, a gateway, two CSPs, and about 1,000 Devices.
//!
//! Everything is a function of the home's number, so that a test can say what to expect of it.

use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_types::{DeviceId, EntityId, Eui64, Mpan, Mprn, MpxnError, Timestamp};

/// How many homes there are. Those that take gas have four Devices, the others two.
pub const HOMES: u16 = 280;

/// A sample party and the entity in its certificate.
#[derive(Debug, Clone, Copy)]
pub struct SampleParty {
    /// The party's id, and the name of its certificate's file.
    pub id: &'static str,
    /// The organisation's name.
    pub name: &'static str,
    /// The last octet of its entity's EUI-64.
    pub number: u8,
    /// The Remote Party Role Code in its certificate (facts of the SMKI: 2 is a supplier).
    pub role_code: u8,
    /// Its roles.
    pub roles: &'static [Role],
    /// Which CSP it is.
    pub csp: &'static str,
    /// Whom it may act on behalf of.
    pub acts_for: &'static [&'static str],
}

/// Supplies both fuels.
pub const ALBION: SampleParty = SampleParty {
    id: "ALBION",
    name: "Albion Energy",
    number: 1,
    role_code: 2,
    roles: &[
        Role::ImportSupplier,
        Role::ExportSupplier,
        Role::GasSupplier,
    ],
    csp: "",
    acts_for: &[],
};
/// Supplies electricity.
pub const BRIGHT: SampleParty = SampleParty {
    id: "BRIGHT",
    name: "Bright Power",
    number: 2,
    roles: &[Role::ImportSupplier, Role::ExportSupplier],
    ..ALBION
};
/// Supplies gas.
pub const CALEDONIA: SampleParty = SampleParty {
    id: "CALEDONIA",
    name: "Caledonia Gas",
    number: 3,
    roles: &[Role::GasSupplier],
    ..ALBION
};
/// An agent that suppliers send into homes. May never change a flag.
pub const METERWORKS: SampleParty = SampleParty {
    id: "METERWORKS",
    name: "Meterworks Agents",
    number: 4,
    role_code: 127,
    roles: &[Role::RegisteredSupplierAgent],
    ..ALBION
};
/// Connects on behalf of Albion.
pub const PORTAL: SampleParty = SampleParty {
    id: "PORTAL",
    name: "Shared Portal",
    number: 5,
    role_code: 127,
    roles: &[Role::Gateway],
    csp: "",
    acts_for: &["ALBION"],
};
/// The CSP of the north.
pub const CSP_NORTH: SampleParty = SampleParty {
    id: "CSP-NORTH",
    name: "Northern Long-Range Radio",
    number: 6,
    role_code: 6,
    roles: &[Role::Csp],
    csp: "north",
    acts_for: &[],
};
/// The CSP of the south.
pub const CSP_SOUTH: SampleParty = SampleParty {
    id: "CSP-SOUTH",
    name: "Southern Cellular",
    number: 7,
    csp: "south",
    ..CSP_NORTH
};

/// All sample parties.
pub const PARTIES: [SampleParty; 7] = [
    ALBION, BRIGHT, CALEDONIA, METERWORKS, PORTAL, CSP_NORTH, CSP_SOUTH,
];

impl SampleParty {
    /// The EUI-64 in the party's certificate.
    #[must_use]
    pub fn entity(&self) -> EntityId {
        EntityId::new(Eui64::from_u64(
            0x9C54_CA00_0000_0000 | u64::from(self.number),
        ))
    }

    fn to_wire(self) -> wire::Party {
        wire::Party {
            party_id: self.id.to_owned(),
            name: self.name.to_owned(),
            identities: vec![wire::PartyIdentity {
                entity_id: self.entity().to_string(),
                roles: self.roles.iter().map(|&role| role.into()).collect(),
            }],
            csp_id: self.csp.to_owned(),
            acts_for: self.acts_for.iter().map(|&id| id.to_owned()).collect(),
            ..wire::Party::default()
        }
    }
}

/// What is special about a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Nothing.
    Ordinary,
    /// An Economy 7 tariff.
    Economy7,
    /// Radio Teleswitch.
    RadioTeleswitch,
    /// May be network-managed, without WAN.
    NoWan,
    /// Its electricity meter is a SMETS1 one.
    Smets1,
    /// Its electricity meter is installed and not commissioned.
    NotCommissioned,
    /// Its electricity meter has two elements, with one supplier each.
    TwinOfTwoSuppliers,
}

/// How many homes a town has.
const TOWN: u32 = 1_000;
/// The towns besides the sample's, whose homes have other Devices than those of the sample.
pub const TOWNS: std::ops::Range<u32> = 100..80_000;

/// A home of the sample, or of a town that is laid out like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// 0 is the sample.
    town: u32,
    number: u16,
}

impl Home {
    /// Home number `number`, from 0 to [`HOMES`] - 1.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self { town: 0, number }
    }

    /// Home number `number` of one of the [`TOWNS`], or of the sample if `town` is 0.
    #[must_use]
    pub const fn in_town(town: u32, number: u16) -> Self {
        Self { town, number }
    }

    /// Its number among all homes of all towns.
    fn id(self) -> u64 {
        u64::from(self.town * TOWN) + u64::from(self.number)
    }

    /// What is special about it. The first seven are one of each kind; the rest are ordinary.
    #[must_use]
    pub const fn special(self) -> Special {
        match self.number {
            1 => Special::Economy7,
            2 => Special::RadioTeleswitch,
            3 => Special::NoWan,
            4 => Special::Smets1,
            5 => Special::NotCommissioned,
            6 => Special::TwinOfTwoSuppliers,
            _ => Special::Ordinary,
        }
    }

    /// Whether it takes gas: nineteen in twenty of the ordinary ones, and every special one.
    #[must_use]
    pub const fn takes_gas(self) -> bool {
        self.number % 20 != 19
    }

    /// Its CSP.
    #[must_use]
    pub const fn csp(self) -> &'static str {
        if self.number.is_multiple_of(2) {
            "north"
        } else {
            "south"
        }
    }

    /// Its electricity supplier: Albion for the special homes, then in turn.
    #[must_use]
    pub const fn electricity(self) -> SampleParty {
        if self.number < 10 || self.number.is_multiple_of(2) {
            ALBION
        } else {
            BRIGHT
        }
    }

    /// Its gas supplier.
    #[must_use]
    pub const fn gas(self) -> SampleParty {
        if self.number < 10 || self.number.is_multiple_of(3) {
            ALBION
        } else {
            CALEDONIA
        }
    }

    fn device(self, kind: u8) -> DeviceId {
        // The maker's prefix is from the range for local use, so that no real Device bears it.
        DeviceId::new(Eui64::from_u64(
            0x02DC_C000_0000_0000 | self.id() << 8 | u64::from(kind),
        ))
    }

    /// Its Communications Hub.
    #[must_use]
    pub fn hub(self) -> DeviceId {
        self.device(0xC0)
    }

    /// Its electricity meter.
    #[must_use]
    pub fn esme(self) -> DeviceId {
        self.device(0xE0)
    }

    /// Its gas meter.
    #[must_use]
    pub fn gsme(self) -> DeviceId {
        self.device(0xA0)
    }

    /// The mirror of its gas meter.
    #[must_use]
    pub fn gpf(self) -> DeviceId {
        self.device(0xAF)
    }

    /// The MPAN of its electricity meter.
    pub fn import_mpan(self) -> Result<Mpan, MpxnError> {
        Mpan::with_check_digit(100_000_000_000 + self.id())
    }

    /// The MPAN of the second element of its electricity meter.
    pub fn secondary_mpan(self) -> Result<Mpan, MpxnError> {
        Mpan::with_check_digit(200_000_000_000 + self.id())
    }

    /// The MPRN of its gas meter.
    pub fn mprn(self) -> Result<Mprn, MpxnError> {
        Mprn::with_check_digits(10_000_000 + self.id())
    }

    /// Its Devices and their registrations, in the order in which they can be loaded.
    pub fn rows(self, since: Timestamp) -> Result<Vec<wire::InventoryRow>, MpxnError> {
        use wire::inventory_row::Row;
        let mut rows = vec![
            Row::Device(self.hub_record(since)),
            Row::Device(self.esme_record(since)?),
        ];
        let registered = |mpxn: String, party: SampleParty| {
            Row::Registration(wire::Registration {
                mpxn,
                party_id: party.id.to_owned(),
                start_time: Some(timestamp_to_wire(since)),
                ..wire::Registration::default()
            })
        };
        rows.push(registered(
            self.import_mpan()?.to_string(),
            self.electricity(),
        ));
        if self.special() == Special::TwinOfTwoSuppliers {
            rows.push(registered(self.secondary_mpan()?.to_string(), BRIGHT));
        }
        if self.takes_gas() {
            let on_hub = self.on_hub(self.gpf(), DeviceType::Gpf, since);
            rows.push(Row::Device(on_hub));
            rows.push(Row::Device(wire::Device {
                smets_version: Some(wire::SmetsVersion { major: 2, minor: 0 }),
                gas_proxy_function_id: self.gpf().to_string(),
                mprn: self.mprn()?.to_string(),
                ..self.on_hub(self.gsme(), DeviceType::Gsme, since)
            }));
            rows.push(registered(self.mprn()?.to_string(), self.gas()));
        }
        Ok(rows.into_iter().map(row).collect())
    }

    fn hub_record(self, since: Timestamp) -> wire::Device {
        wire::Device {
            communications_hub_id: String::new(),
            csp_id: self.csp().to_owned(),
            ..self.on_hub(self.hub(), DeviceType::Chf, since)
        }
    }

    fn esme_record(self, since: Timestamp) -> Result<wire::Device, MpxnError> {
        let special = self.special();
        let exception = match special {
            Special::Economy7 => Some(wire::SiteException::Economy7OrSimilar),
            Special::RadioTeleswitch => Some(wire::SiteException::RadioTeleswitch),
            Special::NoWan => Some(wire::SiteException::NetworkManagedWithoutWan),
            _ => None,
        };
        let mut record = wire::Device {
            smets_version: Some(wire::SmetsVersion { major: 2, minor: 0 }),
            import_mpan: self.import_mpan()?.to_string(),
            site_exceptions: exception.into_iter().map(i32::from).collect(),
            ..self.on_hub(self.esme(), DeviceType::Esme, since)
        };
        match special {
            Special::Smets1 => {
                record.smets_version = Some(wire::SmetsVersion { major: 1, minor: 2 });
            }
            Special::NotCommissioned => {
                record.set_smi_status(wire::SmiStatus::InstalledNotCommissioned);
            }
            Special::TwinOfTwoSuppliers => {
                record.secondary_import_mpan = self.secondary_mpan()?.to_string();
            }
            _ => {}
        }
        Ok(record)
    }

    fn on_hub(self, device: DeviceId, kind: DeviceType, since: Timestamp) -> wire::Device {
        wire::Device {
            device_id: device.to_string(),
            r#type: kind.into(),
            smi_status: wire::SmiStatus::Commissioned.into(),
            smi_status_time: Some(timestamp_to_wire(since)),
            communications_hub_id: self.hub().to_string(),
            ..wire::Device::default()
        }
    }
}

/// Since when everything of the sample holds where nothing else is said: 1 January 2025, 00:00 UTC. A
/// fixed instant, so that a sample loaded twice is the same sample.
pub const SINCE: Timestamp = Timestamp::from_micros(1_735_689_600_000_000);

/// All rows of the sample in the order in which they can be loaded; everything holds `since` then.
pub fn rows(since: Timestamp) -> Result<Vec<wire::InventoryRow>, MpxnError> {
    let mut rows = parties();
    for number in 0..HOMES {
        rows.extend(Home::new(number).rows(since)?);
    }
    Ok(rows)
}

/// The rows of the parties and of the first `homes` of a town. Each kind of special home is among the first seven.
pub fn town(town: u32, homes: u16, since: Timestamp) -> Result<Vec<wire::InventoryRow>, MpxnError> {
    let mut rows = parties();
    for number in 0..homes {
        rows.extend(Home::in_town(town, number).rows(since)?);
    }
    Ok(rows)
}

/// The rows of the parties alone.
#[must_use]
pub fn parties() -> Vec<wire::InventoryRow> {
    let parties = PARTIES.map(|party| wire::inventory_row::Row::Party(party.to_wire()));
    parties.into_iter().map(row).collect()
}

const fn row(row: wire::inventory_row::Row) -> wire::InventoryRow {
    wire::InventoryRow { row: Some(row) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn towns_have_nothing_in_common_but_the_parties() {
        let mut seen = HashSet::new();
        for town in [TOWNS.start, TOWNS.start + 1, TOWNS.end - 1] {
            for row in town_rows(town) {
                assert!(seen.insert(format!("{row:?}")), "{row:?}");
            }
        }
        for row in rows(SINCE).unwrap() {
            assert!(
                matches!(row.row, Some(wire::inventory_row::Row::Party(_)))
                    || seen.insert(format!("{row:?}"))
            );
        }
    }

    fn town_rows(number: u32) -> Vec<wire::InventoryRow> {
        let rows = town(number, 12, SINCE).unwrap().into_iter();
        rows.skip(PARTIES.len()).collect()
    }

    #[test]
    fn the_sample_is_as_large_as_it_says_and_names_nothing_twice() {
        let rows = rows(SINCE).unwrap();
        let mut devices = HashSet::new();
        let mut mpxns = HashSet::new();
        for row in rows {
            match row.row.unwrap() {
                wire::inventory_row::Row::Device(device) => {
                    assert!(devices.insert(device.device_id));
                }
                wire::inventory_row::Row::Registration(registration) => {
                    assert!(mpxns.insert(registration.mpxn));
                }
                wire::inventory_row::Row::Party(_) => {}
            }
        }
        assert!((1_000..1_200).contains(&devices.len()), "{}", devices.len());
        assert_eq!(
            mpxns.len(),
            usize::from(HOMES) * 2 - usize::from(HOMES / 20) + 1
        );
    }
}
