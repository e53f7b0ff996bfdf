//! A Device that may be flagged, and a supplier that does everything right.

use mesh_api::common::v1::DeviceType;
use mesh_api::flag_registry::v1::{Channel, Declaration, Preference, StepKind};
use mesh_api::registration::v1::SmiStatus;
use mesh_types::{DeviceId, Epoch, PartyId, Position, Timestamp};

use crate::facts::{Facts, Hub};
use crate::preference::{
    Attestation, Choice, Declarations, Given, Reference, Step, Wish, WishKind,
};

pub(crate) const ESME: &str = "00-DB-12-34-56-78-90-A0";
pub(crate) const GSME: &str = "00-DB-12-34-56-78-90-A1";
pub(crate) const CHF: &str = "00-DB-12-34-56-78-90-A2";
pub(crate) const GPF: &str = "00-DB-12-34-56-78-90-A3";
pub(crate) const OTHER_CHF: &str = "00-DB-12-34-56-78-90-B2";
pub(crate) const OTHER_GPF: &str = "00-DB-12-34-56-78-90-B3";

/// The time at which everything is decided, in seconds.
pub(crate) const NOW: i64 = 1_000_000;
/// When ACME was registered.
pub(crate) const REGISTERED: i64 = 900_000;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

pub(crate) fn party(text: &str) -> PartyId {
    text.parse().unwrap()
}

pub(crate) fn position(sequence: u64) -> Position {
    Position {
        log: "devices".parse().unwrap(),
        epoch: Epoch::new(7).unwrap(),
        sequence,
    }
}

/// A commissioned SMETS2 ESME of ACME's on a commissioned hub in the north.
pub(crate) fn facts() -> Facts {
    Facts {
        device: id(ESME),
        device_type: DeviceType::Esme,
        smets_major: Some(2),
        smi_status: SmiStatus::Commissioned,
        hub: Some(Hub {
            device: id(CHF),
            csp: Some("north".parse().unwrap()),
            smi_status: SmiStatus::Commissioned,
        }),
        gas_proxy: None,
        exceptions: Vec::new(),
        supplier: party("ACME"),
        supplier_since: at(REGISTERED),
        registration_id: "R1".to_owned(),
        second_element: None,
    }
}

/// The same of a GSME with its GPF.
pub(crate) fn gas_facts() -> Facts {
    Facts {
        device: id(GSME),
        device_type: DeviceType::Gsme,
        gas_proxy: Some(id(GPF)),
        ..facts()
    }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// ACME's wish, with everything that it needs.
pub(crate) fn wish(kind: WishKind, preference: Preference) -> Wish {
    Wish {
        kind,
        given: Given {
            choice: Choice {
                preference,
                captured: at(NOW - 100),
                channel: Channel::Telephone,
                captured_by: party("ACME"),
                evidence: reference("CRM-1"),
            },
            attestation: Some(Attestation {
                steps: vec![Step {
                    kind: StepKind::BenefitsExplained,
                    taken: at(NOW - 200),
                }],
                contact: Some(reference("CALL-1")),
            }),
            declarations: Some(Declarations {
                economy_7_or_similar: Declaration::Absent,
                radio_teleswitch: Declaration::Absent,
                network_managed_without_wan: Declaration::Absent,
            }),
            tenancy_start: (kind == WishKind::Tenancy).then(|| at(NOW - 300)),
        },
    }
}

pub(crate) fn add() -> Wish {
    wish(WishKind::Add, Preference::Reduced)
}

pub(crate) fn remove() -> Wish {
    let mut wish = wish(WishKind::Remove, Preference::Full);
    wish.given.attestation = None;
    wish.given.declarations = None;
    wish
}
