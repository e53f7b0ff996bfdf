//! Which meters count towards a supplier's obligation to install smart meters?
//!
//! Counted are SMETS2+ meters (ESME, GSME) whose SMI status is COMMISSIONED, for their Responsible
//! Supplier; those with reduced communications count as installed and commissioned, and are shown as
//! "of which reduced by choice".

use std::collections::BTreeMap;

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::registration::v1 as wire;
use mesh_types::{DeviceId, PartyId, Timestamp};

/// What a meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fuel {
    /// An ESME.
    Electricity,
    /// A GSME.
    Gas,
}

/// What decides whether a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterFacts {
    /// What it measures.
    pub fuel: Fuel,
    /// The first number of its SMETS version; zero if none is recorded.
    pub smets_major: u32,
    /// The number of its SMI status in the contract; one that is newer than this build is kept.
    pub smi_status: i32,
}

/// A meter as registration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// Its id.
    pub device: DeviceId,
    /// What decides whether it counts.
    pub facts: MeterFacts,
    /// Its Responsible Supplier, if there is one.
    pub supplier: Option<PartyId>,
}

/// A row of the obligation report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Obligation {
    /// ESMEs that count.
    pub electricity: u64,
    /// Of these, reduced by choice.
    pub electricity_reduced: u64,
    /// GSMEs that count.
    pub gas: u64,
    /// Of these, reduced by choice.
    pub gas_reduced: u64,
}

/// An event of the log `devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterEvent {
    /// When it was recorded.
    pub at: Timestamp,
    /// What it changes of what is kept here, if it does.
    pub change: Option<MeterChange>,
}

/// What an event of the log `devices` says of meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterChange {
    /// A meter was recorded or changed.
    Recorded(Meter),
    /// The Responsible Supplier of Devices is another one. Some of them may be no meters.
    Supplier {
        /// The Devices.
        devices: Vec<DeviceId>,
        /// The supplier, if there is one.
        supplier: Option<PartyId>,
    },
}

/// What several changes come to, so that each meter is written once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeterChanges {
    /// Meters as they are now, by their ids.
    pub recorded: BTreeMap<DeviceId, Meter>,
    /// New suppliers of Devices that are not among the recorded ones.
    pub suppliers: BTreeMap<DeviceId, Option<PartyId>>,
}

/// A record that is not well formed: a defect of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record of a Device is not well formed")]
pub struct MalformedDevice;

impl Fuel {
    /// Of a meter's type; `None` for a Device that is no meter.
    #[must_use]
    pub const fn of(kind: DeviceType) -> Option<Self> {
        match kind {
            DeviceType::Esme => Some(Self::Electricity),
            DeviceType::Gsme => Some(Self::Gas),
            DeviceType::Unspecified
            | DeviceType::Gpf
            | DeviceType::Chf
            | DeviceType::Ppmid
            | DeviceType::Hcalcs
            | DeviceType::Ihd
            | DeviceType::Cad
            | DeviceType::Sapc => None,
        }
    }

    /// The type of its meters.
    #[must_use]
    pub const fn device_type(self) -> DeviceType {
        match self {
            Self::Electricity => DeviceType::Esme,
            Self::Gas => DeviceType::Gsme,
        }
    }
}

impl MeterFacts {
    /// Whether a meter counts as installed and commissioned.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.smets_major >= 2 && self.smi_status == i32::from(wire::SmiStatus::Commissioned)
    }
}

impl Obligation {
    /// Adds `meters` of one kind, of which `reduced` have reduced communications.
    pub fn add(&mut self, facts: &MeterFacts, meters: u64, reduced: u64) {
        if !facts.counts() {
            return;
        }
        let (all, of_these) = match facts.fuel {
            Fuel::Electricity => (&mut self.electricity, &mut self.electricity_reduced),
            Fuel::Gas => (&mut self.gas, &mut self.gas_reduced),
        };
        *all += meters;
        *of_these += reduced;
    }
}

impl Meter {
    /// Reads a Device and its Responsible Supplier; `None` if it is no meter.
    pub fn read(
        device: Option<&wire::Device>,
        responsible_party_id: &str,
    ) -> Result<Option<Self>, MalformedDevice> {
        let device = device.ok_or(MalformedDevice)?;
        let Some(fuel) = Fuel::of(device.r#type()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            device: device.device_id.parse().map_err(|_| MalformedDevice)?,
            facts: MeterFacts {
                fuel,
                smets_major: device.smets_version.map_or(0, |version| version.major),
                smi_status: device.smi_status,
            },
            supplier: supplier(responsible_party_id)?,
        }))
    }
}

impl MeterEvent {
    /// Reads an event.
    pub fn read(event: &wire::DeviceEvent) -> Result<Self, MalformedDevice> {
        let at = event.recorded_time.as_ref().ok_or(MalformedDevice)?;
        Ok(Self {
            at: timestamp_from_wire(at).map_err(|_| MalformedDevice)?,
            change: MeterChange::read(event)?,
        })
    }
}

impl MeterChange {
    /// Reads an event; `None` if it changes nothing of what is kept here.
    pub fn read(event: &wire::DeviceEvent) -> Result<Option<Self>, MalformedDevice> {
        use wire::device_event::Change;
        match &event.change {
            Some(Change::DeviceRecorded(recorded)) => {
                let meter = Meter::read(recorded.device.as_ref(), &recorded.responsible_party_id)?;
                Ok(meter.map(Self::Recorded))
            }
            Some(Change::SupplierTookEffect(effect)) => {
                let registration = effect.registration.as_ref();
                let party = registration.map_or("", |registration| &registration.party_id);
                let devices = effect.device_ids.iter().map(|id| id.parse());
                Ok(Some(Self::Supplier {
                    devices: devices
                        .collect::<Result<_, _>>()
                        .map_err(|_| MalformedDevice)?,
                    supplier: supplier(party)?,
                }))
            }
            // Says nothing yet of who is responsible. Kinds that this build does not know change
            // nothing that it relies on.
            Some(Change::RegistrationRecorded(_) | Change::RegistrationWithdrawn(_)) | None => {
                Ok(None)
            }
        }
    }
}

fn supplier(party: &str) -> Result<Option<PartyId>, MalformedDevice> {
    match party {
        "" => Ok(None),
        party => Ok(Some(party.parse().map_err(|_| MalformedDevice)?)),
    }
}

impl MeterChanges {
    /// What `changes`, in log order, come to.
    #[must_use]
    pub fn of(changes: &[MeterChange]) -> Self {
        let mut all = Self::default();
        for change in changes {
            match change {
                MeterChange::Recorded(meter) => {
                    all.suppliers.remove(&meter.device);
                    all.recorded.insert(meter.device, meter.clone());
                }
                MeterChange::Supplier { devices, supplier } => {
                    for device in devices {
                        if let Some(meter) = all.recorded.get_mut(device) {
                            meter.supplier.clone_from(supplier);
                        } else {
                            all.suppliers.insert(*device, supplier.clone());
                        }
                    }
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u64) -> DeviceId {
        DeviceId::new(mesh_types::Eui64::from_u64(number))
    }

    fn recorded(number: u64, supplier: &str) -> MeterChange {
        MeterChange::Recorded(Meter {
            device: device(number),
            facts: facts(Fuel::Gas, 2, wire::SmiStatus::Commissioned),
            supplier: supplier.parse().ok(),
        })
    }

    fn supplier(numbers: &[u64], supplier: &str) -> MeterChange {
        MeterChange::Supplier {
            devices: numbers.iter().copied().map(device).collect(),
            supplier: supplier.parse().ok(),
        }
    }

    fn facts(fuel: Fuel, smets_major: u32, status: wire::SmiStatus) -> MeterFacts {
        MeterFacts {
            fuel,
            smets_major,
            smi_status: status.into(),
        }
    }

    #[test]
    fn commissioned_smets2_meters_count_and_no_others() {
        let mut row = Obligation::default();
        for status in 0..=8 {
            for smets_major in 0..=3 {
                for fuel in [Fuel::Electricity, Fuel::Gas] {
                    let facts = MeterFacts {
                        fuel,
                        smets_major,
                        smi_status: status,
                    };
                    let counts = status == 4 && smets_major >= 2;
                    assert_eq!(facts.counts(), counts, "{facts:?}");
                    row.add(&facts, 10, 1);
                }
            }
        }
        let expected = Obligation {
            electricity: 20,
            electricity_reduced: 2,
            gas: 20,
            gas_reduced: 2,
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn only_meters_are_kept() {
        for number in 0..10 {
            let kind = DeviceType::try_from(number).unwrap();
            let meter = Fuel::of(kind);
            assert_eq!(
                meter.is_some(),
                matches!(kind, DeviceType::Esme | DeviceType::Gsme)
            );
            assert!(meter.is_none_or(|fuel| fuel.device_type() == kind));
        }
    }

    #[test]
    fn later_changes_win() {
        let changes = MeterChanges::of(&[
            supplier(&[1, 2], "ONE"),
            recorded(1, "TWO"),
            recorded(3, "ONE"),
            supplier(&[2, 3], ""),
        ]);
        let now = |number| changes.recorded[&device(number)].supplier.clone();
        assert_eq!((now(1), now(3)), ("TWO".parse().ok(), None));
        assert_eq!(changes.recorded.len(), 2);
        assert_eq!(changes.suppliers, BTreeMap::from([(device(2), None)]));
    }

    #[test]
    fn events_are_read() {
        use wire::device_event::Change;
        let event = |change| wire::DeviceEvent {
            change: Some(change),
            ..wire::DeviceEvent::default()
        };
        let put = |kind: DeviceType| {
            event(Change::DeviceRecorded(wire::DeviceRecorded {
                device: Some(wire::Device {
                    device_id: device(1).to_string(),
                    r#type: kind.into(),
                    smets_version: Some(wire::SmetsVersion { major: 2, minor: 1 }),
                    smi_status: wire::SmiStatus::Commissioned.into(),
                    ..wire::Device::default()
                }),
                responsible_party_id: "ONE".into(),
                ..wire::DeviceRecorded::default()
            }))
        };
        assert_eq!(
            MeterChange::read(&put(DeviceType::Gsme)),
            Ok(Some(recorded(1, "ONE")))
        );
        assert_eq!(MeterChange::read(&put(DeviceType::Chf)), Ok(None));
        let ended = event(Change::SupplierTookEffect(wire::SupplierTookEffect {
            device_ids: vec![device(1).to_string()],
            ..wire::SupplierTookEffect::default()
        }));
        assert_eq!(MeterChange::read(&ended), Ok(Some(supplier(&[1], ""))));
        let without = event(Change::DeviceRecorded(wire::DeviceRecorded::default()));
        assert_eq!(MeterChange::read(&without), Err(MalformedDevice));
        let withdrawn = event(Change::RegistrationWithdrawn(Default::default()));
        assert_eq!(MeterChange::read(&withdrawn), Ok(None));
        assert_eq!(MeterChange::read(&wire::DeviceEvent::default()), Ok(None));
        let timeless = MeterEvent::read(&wire::DeviceEvent::default());
        assert_eq!(timeless, Err(MalformedDevice));
        let read = MeterEvent::read(&wire::DeviceEvent {
            recorded_time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            ..ended
        });
        let expected = MeterEvent {
            at: Timestamp::from_micros(1_000_000),
            change: Some(supplier(&[1], "")),
        };
        assert_eq!(read, Ok(expected));
    }
}
