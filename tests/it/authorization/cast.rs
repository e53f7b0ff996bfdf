//! Who calls, and which Devices are whose?
//!
//! Everybody in the table is a party with exactly the roles that its column says, or an internal
//! role. Suppliers ask about their own Device, others about the right supplier's, so that a refusal
//! is about the caller and never about a Device that is not there.

use std::sync::LazyLock;
use std::time::Duration;

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_authz::Role;
use mesh_types::{Clock as _, DeviceId, EntityId, Eui64, Mpan, Mprn, SystemClock, Timestamp};

use crate::mesh::{TestMesh, a_year_ago};

/// A caller: one column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The column's name.
    pub(crate) column: &'static str,
    /// The name of the certificate that it shows: a party's or an internal role's.
    pub(crate) shows: Option<&'static str>,
    /// The party that it says it acts for.
    pub(crate) for_party: Option<&'static str>,
    /// The party that its requests name, and whose Device they name.
    pub(crate) about: &'static str,
}

/// A party of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CastParty {
    /// Its id, and the name of its certificate.
    pub(crate) id: &'static str,
    number: u8,
    /// Its roles.
    pub(crate) roles: &'static [Role],
    csp: &'static str,
    acts_for: &'static [&'static str],
}

const SUPPLIER: &[Role] = &[
    Role::ImportSupplier,
    Role::ExportSupplier,
    Role::GasSupplier,
];

/// The Responsible Supplier of the Devices that others ask about.
pub(crate) const RIGHT: &str = "RIGHT";
/// A supplier of other Devices.
pub(crate) const WRONG: &str = "WRONG";
/// A supplier that was suspended while it had a Device.
pub(crate) const SUSPENDED: &str = "SUSPENDED";
/// May act for `RIGHT` and for `SUSPENDED`.
pub(crate) const GATEWAY: &str = "GW";
/// A certificate of an organisation that the directory does not know.
pub(crate) const STRANGER: &str = "STRANGER";
/// The party whose status the operator may try to change.
pub(crate) const SPARE: &str = "SPARE";
/// The CSP of all hubs here.
pub(crate) const CSP: &str = "CSP";
/// What the inventory calls that CSP.
pub(crate) const CSP_ID: &str = "north";

const fn party(id: &'static str, number: u8, roles: &'static [Role]) -> CastParty {
    CastParty {
        id,
        number,
        roles,
        csp: "",
        acts_for: &[],
    }
}

/// Everybody whom the directory knows.
pub(crate) const PARTIES: [CastParty; 14] = [
    party("IS", 1, &[Role::ImportSupplier]),
    party("ES", 2, &[Role::ExportSupplier]),
    party("GS", 3, &[Role::GasSupplier]),
    party("RSA", 4, &[Role::RegisteredSupplierAgent]),
    party("ED", 5, &[Role::ElectricityDistributor]),
    party("GT", 6, &[Role::GasTransporter]),
    party("OU", 7, &[Role::OtherUser]),
    CastParty {
        csp: CSP_ID,
        ..party(CSP, 8, &[Role::Csp])
    },
    CastParty {
        csp: "south",
        ..party("CSP2", 9, &[Role::Csp])
    },
    CastParty {
        acts_for: &[RIGHT, SUSPENDED],
        ..party(GATEWAY, 10, &[Role::Gateway])
    },
    party(RIGHT, 11, SUPPLIER),
    party(WRONG, 12, SUPPLIER),
    party(SUSPENDED, 13, SUPPLIER),
    party(SPARE, 14, SUPPLIER),
];

const fn external(column: &'static str, shows: &'static str, about: &'static str) -> Caller {
    Caller {
        column,
        shows: Some(shows),
        for_party: None,
        about,
    }
}

const fn internal(column: &'static str, role: &'static str) -> Caller {
    external(column, role, RIGHT)
}

const fn gateway(column: &'static str, for_party: &'static str) -> Caller {
    Caller {
        for_party: Some(for_party),
        ..external(column, GATEWAY, for_party)
    }
}

/// The columns of the table, in its order.
pub(crate) const CALLERS: [Caller; 27] = [
    Caller {
        shows: None,
        ..external("none", "", RIGHT)
    },
    external("unkn", STRANGER, RIGHT),
    external("IS", "IS", "IS"),
    external("ES", "ES", "ES"),
    external("GS", "GS", "GS"),
    external("RSA", "RSA", "RSA"),
    external("ED", "ED", "ED"),
    external("GT", "GT", "GT"),
    external("OU", "OU", "OU"),
    external("CSP", CSP, CSP),
    external("CSP2", "CSP2", CSP),
    external("GW", GATEWAY, GATEWAY),
    external("right", RIGHT, RIGHT),
    external("wrong", WRONG, RIGHT),
    external("susp", SUSPENDED, SUSPENDED),
    gateway("gw+", RIGHT),
    gateway("gw-", WRONG),
    internal("regis", "registration"),
    internal("flags", "flag-registry"),
    internal("class", "classification"),
    internal("notif", "csp-notification"),
    internal("repor", "reporting"),
    internal("dsp", "dsp"),
    internal("data", "registration-data"),
    internal("oper", "operator"),
    internal("analy", "analyst"),
    internal("audit", "auditor"),
];

/// The caller in a column.
pub(crate) fn caller(column: &str) -> Caller {
    let found = CALLERS.into_iter().find(|caller| caller.column == column);
    found.unwrap_or_else(|| panic!("there is no caller {column}"))
}

/// The EUI-64 in a party's certificate.
pub(crate) fn entity(id: &str) -> EntityId {
    let known = PARTIES.iter().find(|party| party.id == id);
    let number = known.map_or(0xFF, |party| party.number);
    EntityId::new(Eui64::from_u64(0x9C54_CA11_0000_0000 | u64::from(number)))
}

const fn device(home: u8, kind: u8) -> DeviceId {
    DeviceId::new(Eui64::from_u64(
        0x02DC_CA11_0000_0000 | (home as u64) << 8 | kind as u64,
    ))
}

/// The Communications Hub of everybody.
pub(crate) const HUB: DeviceId = device(0, 0xC0);
/// A meter that nobody is registered for.
pub(crate) const NOBODYS: DeviceId = device(0x0E, 0xE0);
/// A Device that is not in the inventory.
pub(crate) const UNKNOWN: DeviceId = device(0xEE, 0xEE);

/// The meter that requests about a party name: its own, or the right supplier's if it has none.
pub(crate) fn meter_of(id: &str) -> DeviceId {
    match id {
        "IS" => device(1, 0xE0),
        "ES" => device(2, 0xE0),
        "GS" => device(3, 0xA0),
        WRONG => device(12, 0xE0),
        SUSPENDED => device(13, 0xE0),
        _ => device(11, 0xE0),
    }
}

/// Loads parties and Devices, suspends who is to be suspended, and waits until everybody knows.
pub(crate) async fn enter(mesh: &TestMesh) {
    for party in PARTIES {
        mesh.certify(party.id, entity(party.id));
    }
    mesh.certify(STRANGER, entity(STRANGER));
    let rows = inventory().into_iter().chain(announced());
    let rows = rows.map(|row| wire::InventoryRow { row: Some(row) });
    mesh.load(rows.collect()).await;
    let suspend = wire::SetPartyStatusRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        party_id: SUSPENDED.to_owned(),
        status: wire::PartyStatus::Suspended.into(),
        reason: "No answer to the Panel's notice.".to_owned(),
    };
    let mut parties = mesh.clients("operator").parties().unwrap();
    parties.set_party_status(suspend).await.unwrap();
    // The last event of the log `parties`: who acts on it knows everything before it.
    mesh.bars(SUSPENDED).await;
}

fn inventory() -> Vec<Row> {
    let mut rows: Vec<Row> = PARTIES.map(|party| Row::Party(party.to_wire())).to_vec();
    rows.push(Row::Device(wire::Device {
        communications_hub_id: String::new(),
        csp_id: CSP_ID.to_owned(),
        ..on_hub(HUB, DeviceType::Chf)
    }));
    let nobodys = Mpan::with_check_digit(100_000_000_014).unwrap();
    rows.push(esme(NOBODYS, |esme| {
        esme.import_mpan = nobodys.to_string();
    }));
    for (number, id) in [(1, "IS"), (11, RIGHT), (12, WRONG), (13, SUSPENDED)] {
        let mpan = Mpan::with_check_digit(100_000_000_000 + number).unwrap();
        rows.push(esme(meter_of(id), |esme| {
            esme.import_mpan = mpan.to_string();
        }));
        rows.push(registered(&mpan.to_string(), id));
    }
    // A meter without an import MPAN: the supplier of its export MPAN is responsible.
    let mpan = Mpan::with_check_digit(100_000_000_002).unwrap();
    rows.push(esme(meter_of("ES"), |esme| {
        esme.export_mpan = mpan.to_string();
    }));
    rows.push(registered(&mpan.to_string(), "ES"));
    let mprn = Mprn::with_check_digits(10_000_003).unwrap();
    let gpf = device(3, 0xAF);
    rows.push(Row::Device(on_hub(gpf, DeviceType::Gpf)));
    rows.push(Row::Device(wire::Device {
        smets_version: Some(wire::SmetsVersion { major: 2, minor: 0 }),
        gas_proxy_function_id: gpf.to_string(),
        mprn: mprn.to_string(),
        ..on_hub(meter_of("GS"), DeviceType::Gsme)
    }));
    rows.push(registered(&mprn.to_string(), "GS"));
    rows
}

/// When the right supplier is to supply what it does not supply yet.
pub(crate) static ANNOUNCED: LazyLock<Timestamp> =
    LazyLock::new(|| SystemClock.now().saturating_add(Duration::from_hours(24)));

/// How many MPANs the right supplier is to supply.
const ANNOUNCED_MPANS: u64 = 1_000;

/// One of those MPANs, for the call of this number.
pub(crate) fn announced_mpan(number: u64) -> String {
    let mpan = Mpan::with_check_digit(200_000_000_000 + number % ANNOUNCED_MPANS);
    mpan.unwrap().to_string()
}

fn announced() -> impl Iterator<Item = Row> {
    (0..ANNOUNCED_MPANS).map(|number| {
        Row::Registration(wire::Registration {
            mpxn: announced_mpan(number),
            party_id: RIGHT.to_owned(),
            start_time: Some(timestamp_to_wire(*ANNOUNCED)),
            ..wire::Registration::default()
        })
    })
}

fn esme(id: DeviceId, complete: impl FnOnce(&mut wire::Device)) -> Row {
    let mut esme = on_hub(id, DeviceType::Esme);
    esme.smets_version = Some(wire::SmetsVersion { major: 2, minor: 0 });
    complete(&mut esme);
    Row::Device(esme)
}

fn on_hub(id: DeviceId, kind: DeviceType) -> wire::Device {
    wire::Device {
        device_id: id.to_string(),
        r#type: kind.into(),
        smi_status: wire::SmiStatus::Commissioned.into(),
        smi_status_time: Some(timestamp_to_wire(a_year_ago())),
        communications_hub_id: HUB.to_string(),
        ..wire::Device::default()
    }
}

fn registered(mpxn: &str, party: &str) -> Row {
    Row::Registration(wire::Registration {
        mpxn: mpxn.to_owned(),
        party_id: party.to_owned(),
        start_time: Some(timestamp_to_wire(a_year_ago())),
        ..wire::Registration::default()
    })
}

impl CastParty {
    fn to_wire(self) -> wire::Party {
        wire::Party {
            party_id: self.id.to_owned(),
            name: format!("Cast party {}", self.id),
            identities: vec![wire::PartyIdentity {
                entity_id: entity(self.id).to_string(),
                roles: self.roles.iter().map(|&role| role.into()).collect(),
            }],
            csp_id: self.csp.to_owned(),
            acts_for: self.acts_for.iter().map(|&id| id.to_owned()).collect(),
            ..wire::Party::default()
        }
    }
}
