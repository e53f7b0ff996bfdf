//! Rows and requests in which nothing is wrong, for tests that change one thing in them.

use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_types::{Clock as _, DeviceId, SystemClock};
use mp169::sample::{self, Home};

use crate::mesh::a_year_ago;

/// The rows of the sample's parties and of its first homes; everything holds since a year ago.
pub(crate) fn rows(homes: u16) -> Vec<registration::InventoryRow> {
    use registration::inventory_row::Row;
    let end = Home::new(homes).hub().to_string();
    let is_end = |row: &registration::InventoryRow| matches!(&row.row, Some(Row::Device(device)) if device.device_id == end);
    let rows = sample::rows(a_year_ago()).unwrap().into_iter();
    rows.take_while(|row| !is_end(row)).collect()
}

/// The present, on the wire.
pub(crate) fn now() -> prost_types::Timestamp {
    timestamp_to_wire(SystemClock.now())
}

pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A request to set a flag in which nothing is missing.
pub(crate) fn add(device: DeviceId, party: &str) -> flags::AddFlagRequest {
    let absent = flags::Declaration::Absent.into();
    flags::AddFlagRequest {
        request_id: new_id(),
        device_id: device.to_string(),
        choice: Some(choice(flags::Preference::Reduced, party)),
        reasonable_steps: Some(flags::ReasonableSteps {
            steps: vec![flags::ReasonableStep {
                kind: flags::StepKind::ConsequencesExplained.into(),
                taken_time: Some(now()),
            }],
            contact_reference: "CRM-7".into(),
        }),
        site_declarations: Some(flags::SiteDeclarations {
            economy_7_or_similar: absent,
            radio_teleswitch: absent,
            network_managed_without_wan: absent,
        }),
        ..Default::default()
    }
}

pub(crate) fn remove(device: DeviceId, party: &str) -> flags::RemoveFlagRequest {
    flags::RemoveFlagRequest {
        request_id: new_id(),
        device_id: device.to_string(),
        choice: Some(choice(flags::Preference::Full, party)),
        ..Default::default()
    }
}

pub(crate) fn choice(preference: flags::Preference, party: &str) -> flags::ConsumerChoice {
    flags::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(now()),
        channel: flags::Channel::Online.into(),
        captured_by_party_id: party.to_owned(),
        evidence_reference: "WEB-7".into(),
    }
}
