//! Which Devices, metering points and parties do the cases play with?
//!
//! Few, so that what happens to one of them happens often; one of each kind that a rule tells apart.

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1::{self as wire, inventory_row::Row};
use mesh_types::{DeviceId, Eui64, Mpan, Mprn, Timestamp};
use mp169::sample;

/// When a case begins.
pub(super) const BEGINNING: Timestamp = Timestamp::from_micros(sample::SINCE.micros() + 400 * DAY);
pub(super) const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// Suppliers of both fuels, of electricity, and of gas, and an agent, which is none.
pub(super) const PARTIES: [&str; 4] = ["ALBION", "BRIGHT", "CALEDONIA", "METERWORKS"];
/// How many of the parties are suppliers.
pub(super) const SUPPLIERS: usize = 3;

/// How often a supplier may lift the flag of a Device within a day, and how often it may record a
/// preference that changes nothing.
pub(super) const DEVICE_QUOTA: u32 = 2;
/// The same of all its Devices together.
pub(super) const SUPPLIER_QUOTA: u32 = 4;

/// The CSPs: the party, and the name that hubs give it.
pub(super) const CSPS: [(&str, &str); 2] = [("CSP-NORTH", "north"), ("CSP-SOUTH", "south")];

/// The numbers of the hubs: two of the north, one of the south.
pub(super) const HUBS: std::ops::Range<usize> = 0..3;
/// The numbers of the meters: an ESME with an import and an export MPAN, one with an export MPAN
/// alone, a twin-element one, a SMETS1 one, and two GSMEs.
pub(super) const METERS: std::ops::Range<usize> = 3..9;
/// Those of the GSMEs.
pub(super) const GSMES: std::ops::Range<usize> = 7..METERS.end;
/// The numbers of the GPFs: those of the two GSMEs, and one that mirrors nothing yet.
pub(super) const GPFS: std::ops::Range<usize> = 9..12;
/// A Device that nobody is responsible for.
const PPMID: usize = 12;
/// A number that is never recorded.
pub(super) const UNKNOWN: usize = 13;
/// How many numbers there are.
pub(super) const DEVICES: usize = 14;

/// How many metering points there are.
pub(super) const POINTS: usize = 8;
/// Those of gas.
pub(super) const GAS: std::ops::Range<usize> = 6..POINTS;

/// The Device of a number.
pub(super) fn device(number: usize) -> String {
    let number = u64::try_from(number).unwrap();
    DeviceId::new(Eui64::from_u64(0x02DC_C0FF_0000_0000 | number)).to_string()
}

/// The metering point of a number.
pub(super) fn point(number: usize) -> String {
    let leading = u64::try_from(number).unwrap();
    if !GAS.contains(&number) {
        let mpan = Mpan::with_check_digit(300_000_000_000 + leading);
        mpan.unwrap().to_string()
    } else {
        let mprn = Mprn::with_check_digits(30_000_000 + leading);
        mprn.unwrap().to_string()
    }
}

/// What is loaded before a case begins.
pub(super) fn rows() -> Vec<wire::InventoryRow> {
    let sample = sample::rows(sample::SINCE).unwrap();
    let parties = sample.into_iter().filter_map(|row| row.row);
    let parties = parties.filter(|row| matches!(row, Row::Party(_)));
    let hubs = HUBS.map(|hub| Row::Device(hub_record(hub)));
    // A GPF comes before the GSME that it mirrors.
    let others = GPFS.chain([PPMID]).chain(METERS);
    let others = others.map(|number| Row::Device(record(number)));
    let rows = parties.chain(hubs).chain(others).chain(registrations());
    rows.map(|row| wire::InventoryRow { row: Some(row) })
        .collect()
}

fn hub_record(number: usize) -> wire::Device {
    let (_, csp) = CSPS[number % CSPS.len()];
    wire::Device {
        csp_id: csp.into(),
        ..of_type(number, DeviceType::Chf)
    }
}

/// A Device other than a hub. All are on the first hub.
fn record(number: usize) -> wire::Device {
    let on_hub = |kind| wire::Device {
        communications_hub_id: device(0),
        ..of_type(number, kind)
    };
    let meter = |kind| wire::Device {
        smets_version: Some(wire::SmetsVersion { major: 2, minor: 0 }),
        ..on_hub(kind)
    };
    match number {
        3 => wire::Device {
            import_mpan: point(0),
            export_mpan: point(1),
            ..meter(DeviceType::Esme)
        },
        4 => wire::Device {
            export_mpan: point(2),
            ..meter(DeviceType::Esme)
        },
        5 => wire::Device {
            import_mpan: point(3),
            secondary_import_mpan: point(4),
            ..meter(DeviceType::Esme)
        },
        6 => wire::Device {
            import_mpan: point(5),
            smets_version: Some(wire::SmetsVersion { major: 1, minor: 2 }),
            ..meter(DeviceType::Esme)
        },
        _ if GSMES.contains(&number) => wire::Device {
            mprn: point(number - 1),
            gas_proxy_function_id: device(number + 2),
            ..meter(DeviceType::Gsme)
        },
        PPMID => on_hub(DeviceType::Ppmid),
        _ => on_hub(DeviceType::Gpf),
    }
}

fn of_type(number: usize, kind: DeviceType) -> wire::Device {
    wire::Device {
        device_id: device(number),
        r#type: kind.into(),
        smi_status: wire::SmiStatus::Commissioned.into(),
        smi_status_time: Some(timestamp_to_wire(sample::SINCE)),
        ..wire::Device::default()
    }
}

/// Most points are supplied by Albion from long ago on; one has a gap in the past, one has a gap
/// to come.
fn registrations() -> impl Iterator<Item = Row> {
    let (since, hours) = (sample::SINCE, |hours: i64| {
        Timestamp::from_micros(BEGINNING.micros() + hours * HOUR)
    });
    let rows = [
        (0, "ALBION", since, None),
        (1, "BRIGHT", since, None),
        (2, "BRIGHT", since, Some(hours(-72))),
        (2, "BRIGHT", hours(-24), None),
        (3, "ALBION", since, None),
        (4, "ALBION", since, None),
        (5, "ALBION", since, None),
        (6, "ALBION", since, None),
        (7, "CALEDONIA", hours(-48), Some(hours(48))),
        (7, "ALBION", hours(96), None),
    ];
    rows.into_iter().map(|(number, party, start, end)| {
        Row::Registration(wire::Registration {
            mpxn: point(number),
            party_id: party.into(),
            start_time: Some(timestamp_to_wire(start)),
            end_time: end.map(timestamp_to_wire),
            ..wire::Registration::default()
        })
    })
}
