//! Registrations on the wire.

use mesh_api::convert::timestamp_to_wire;
use mesh_api::registration::v1 as wire;
use mesh_types::{Bounds, Interval, Mpxn, PartyId, Timestamp};

use super::Fields;
use crate::supply::Registration;

/// Reads a registration that a caller sent at `now`, with its interval: who is to be registered for
/// what, and when.
pub(crate) fn read_registration(
    registration: &wire::Registration,
    fields: &mut Fields<'_>,
    now: Timestamp,
) -> Option<(Mpxn, PartyId, Interval)> {
    let mpxn = fields.required("mpxn", &registration.mpxn);
    let party = fields.required("party_id", &registration.party_id);
    if registration.start_time.is_none() {
        fields.add("start_time", "is missing");
    }
    let mut within = |field, at: &Option<prost_types::Timestamp>| {
        fields.instant_within(field, at.as_ref(), Bounds::SUPPLY, now)
    };
    let start = within("start_time", &registration.start_time);
    let end = within("end_time", &registration.end_time);
    if registration.end_time.is_some() && end.is_none() {
        return None;
    }
    let interval = fields.keep("end_time", Interval::new(start?, end));
    Some((mpxn?, party?, interval?))
}

/// The registration.
#[must_use]
pub(crate) fn registration_to_wire(registration: &Registration) -> wire::Registration {
    wire::Registration {
        registration_id: registration.id.to_string(),
        mpxn: registration.mpxn.to_string(),
        party_id: registration.party.to_string(),
        start_time: Some(timestamp_to_wire(registration.interval.start())),
        end_time: registration.interval.closed_end().map(timestamp_to_wire),
    }
}
