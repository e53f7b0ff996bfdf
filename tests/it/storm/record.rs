//! Who was responsible for a Device at a position of the log `devices`, and where was it?
//!
//! Worked out from the events in the plainest way, with no code of a service. Who was responsible
//! follows from the intervals that were recorded, never from an event which says that they took
//! effect.

use std::collections::BTreeMap;

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::registration::v1::{self as wire, device_event::Change};
use mesh_types::{Sequence, Timestamp};

/// The log, by what its events are about.
pub(super) struct Record {
    /// What was recorded of each Device, and at which position.
    devices: BTreeMap<String, Vec<(Sequence, wire::Device)>>,
    /// What was recorded of the registrations of each MPxN, by id.
    registrations: BTreeMap<String, BTreeMap<String, Vec<(Sequence, wire::Registration)>>>,
    /// When each event was recorded.
    times: Vec<Timestamp>,
}

/// What a flag rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) supplier: String,
    pub(super) hub: String,
    pub(super) csp: String,
    pub(super) covered: Vec<String>,
}

impl Record {
    pub(super) fn of(events: &[wire::DeviceEvent]) -> Self {
        let mut record = Self {
            devices: BTreeMap::new(),
            registrations: BTreeMap::new(),
            times: Vec::new(),
        };
        for event in events {
            record.times.push(instant(event.recorded_time.as_ref()));
            match event.change.clone().unwrap() {
                Change::DeviceRecorded(recorded) => {
                    let device = recorded.device.unwrap();
                    let versions = record.devices.entry(device.device_id.clone());
                    versions.or_default().push((event.sequence, device));
                }
                Change::RegistrationRecorded(recorded) => {
                    let registration = recorded.registration.unwrap();
                    let point = record.registrations.entry(registration.mpxn.clone());
                    let versions = point.or_default();
                    let versions = versions.entry(registration.registration_id.clone());
                    versions.or_default().push((event.sequence, registration));
                }
                // The storm's changes are announced for less than a minute.
                Change::RegistrationWithdrawn(withdrawn) => panic!("nobody did: {withdrawn:?}"),
                Change::SupplierTookEffect(_) => {}
            }
        }
        record
    }

    /// The last event.
    pub(super) fn head(&self) -> Sequence {
        Sequence::try_from(self.times.len()).unwrap()
    }

    /// When an event was recorded.
    pub(super) fn time(&self, sequence: Sequence) -> Timestamp {
        self.times[usize::try_from(sequence).unwrap() - 1]
    }

    /// What was known of a meter at position `known` about the instant `at`.
    pub(super) fn facts(&self, meter: &str, known: Sequence, at: Timestamp) -> Facts {
        let device = as_known(&self.devices[meter], known).unwrap();
        let hub = &device.communications_hub_id;
        let registration = self.registration(meter, known, at);
        Facts {
            supplier: registration.map(|r| r.party_id.clone()).unwrap_or_default(),
            hub: hub.clone(),
            csp: as_known(&self.devices[hub], known).unwrap().csp_id.clone(),
            covered: match device.r#type() {
                DeviceType::Gsme => vec![device.gas_proxy_function_id.clone()],
                _ => vec![],
            },
        }
    }

    /// The registration that a meter's supplier was responsible by.
    pub(super) fn registration(
        &self,
        meter: &str,
        known: Sequence,
        at: Timestamp,
    ) -> Option<&wire::Registration> {
        let device = as_known(&self.devices[meter], known).unwrap();
        let point = match device.r#type() {
            DeviceType::Gsme => &device.mprn,
            _ => &device.import_mpan,
        };
        let recorded = self.registrations[point].values();
        let mut recorded = recorded.filter_map(|versions| as_known(versions, known));
        recorded.find(|registration| {
            let end = registration.end_time.as_ref();
            instant(registration.start_time.as_ref()) <= at
                && end.is_none_or(|end| at < instant(Some(end)))
        })
    }
}

/// The last version up to a position.
fn as_known<T>(versions: &[(Sequence, T)], known: Sequence) -> Option<&T> {
    let after = versions.partition_point(|(sequence, _)| *sequence <= known);
    versions[..after].last().map(|(_, version)| version)
}

pub(super) fn instant(time: Option<&prost_types::Timestamp>) -> Timestamp {
    timestamp_from_wire(time.unwrap()).unwrap()
}
