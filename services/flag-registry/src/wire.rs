//! How do entries, events and what suppliers say look on the wire?

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::{
    position_from_wire, position_to_wire, timestamp_from_wire, timestamp_to_wire,
};
use mesh_api::flag_registry::v1 as wire;
use mesh_types::{DeviceId, PartyId, Position};
use prost::Message as _;

use crate::facts::optional;
use crate::flag::{Draft, Entry, Happened, Meter, NO_HISTORY, Place, Standing};
use crate::past::{Past, Told};
use crate::preference::{Attestation, Choice, Declarations, Wish, WishKind};

/// The entry.
#[must_use]
pub fn entry(entry: &Entry) -> wire::FlagEntry {
    let facts = facts(&entry.standing);
    wire::FlagEntry {
        device_id: entry.device.to_string(),
        device_type: device_type(entry.meter).into(),
        state: facts.state,
        covered_device_ids: facts.covered_device_ids,
        communications_hub_id: facts.communications_hub_id,
        csp_id: facts.csp_id,
        responsible_party_id: facts.responsible_party_id,
        responsible_since_time: Some(timestamp_to_wire(entry.responsible_since)),
        since_time: Some(timestamp_to_wire(entry.since)),
        cause: entry.cause.into(),
        state_sequence: entry.state_sequence,
        last_sequence: entry.last_sequence,
        reviews: entry.reviews.iter().map(|&reason| reason.into()).collect(),
        etag: entry.etag(),
        registration_position: Some(position_to_wire(&entry.rests_on)),
    }
}

/// The entry of a Device without a history.
#[must_use]
pub fn no_history(device: DeviceId) -> wire::FlagEntry {
    wire::FlagEntry {
        device_id: device.to_string(),
        state: wire::FlagState::NotFlagged.into(),
        etag: NO_HISTORY.to_owned(),
        ..wire::FlagEntry::default()
    }
}

/// The entry of `device`, which may have none.
#[must_use]
pub fn entry_of(device: DeviceId, found: Option<&Entry>) -> wire::FlagEntry {
    found.map_or_else(|| no_history(device), entry)
}

/// The entry with what held at an instant; what is kept about its events stays as it is.
#[must_use]
pub fn entry_at(entry: wire::FlagEntry, past: &Past) -> wire::FlagEntry {
    let facts = facts(&Standing {
        flagged: past.state.is_some_and(|state| state.flagged),
        covered: past.covered.clone(),
        hub: past.hub,
        csp: past.csp.clone(),
        supplier: past.supplier.clone(),
    });
    let state = past.state.as_ref();
    wire::FlagEntry {
        state: facts.state,
        covered_device_ids: facts.covered_device_ids,
        communications_hub_id: facts.communications_hub_id,
        csp_id: facts.csp_id,
        responsible_party_id: facts.responsible_party_id,
        responsible_since_time: past.responsible_since.map(timestamp_to_wire),
        since_time: state.map(|state| timestamp_to_wire(state.since)),
        cause: state.map(|state| state.cause.into()).unwrap_or_default(),
        state_sequence: state.map(|state| state.sequence).unwrap_or_default(),
        ..entry
    }
}

/// The entry as a supplier sees it, which is not told who was responsible before it (decision 14).
#[must_use]
pub fn entry_seen_by(party: &PartyId, mut entry: wire::FlagEntry) -> wire::FlagEntry {
    if entry.responsible_party_id != party.as_str() {
        entry.responsible_party_id.clear();
    }
    entry
}

/// What a recorded event tells; `None` if it is malformed.
#[must_use]
pub fn told(event: &wire::FlagEvent) -> Option<Told> {
    Some(Told {
        sequence: event.sequence,
        effective: timestamp_from_wire(event.effective_time.as_ref()?).ok()?,
        cause: event.cause(),
        previous: standing(event.previous.as_ref()?)?,
        current: standing(event.current.as_ref()?)?,
    })
}

/// What a recorded event does to the entry of its Device; `None` if it is malformed.
#[must_use]
pub fn happened(event: &wire::FlagEvent) -> Option<Happened> {
    let review = event.review_reason();
    Some(Happened {
        device: event.device_id.parse().ok()?,
        meter: match event.device_type() {
            DeviceType::Esme => Meter::Esme,
            DeviceType::Gsme => Meter::Gsme,
            _ => return None,
        },
        cause: event.cause(),
        previous: standing(event.previous.as_ref()?)?,
        current: standing(event.current.as_ref()?)?,
        effective: timestamp_from_wire(event.effective_time.as_ref()?).ok()?,
        is_choice: event.choice.is_some(),
        review: (review != wire::ReviewReason::Unspecified).then_some(review),
        rests_on: position_from_wire(event.registration_position.as_ref()?).ok()?,
        place: Place {
            sequence: event.sequence,
            recorded_time: timestamp_from_wire(event.recorded_time.as_ref()?).ok()?,
        },
    })
}

/// The octets of an event: those that are stored, hashed and sent.
#[must_use]
pub fn event_octets(event: &Draft, place: Place) -> Vec<u8> {
    let given = event.change.given.as_ref();
    let by = event.by.as_ref();
    let event = wire::FlagEvent {
        sequence: place.sequence,
        recorded_time: Some(timestamp_to_wire(place.recorded_time)),
        effective_time: Some(timestamp_to_wire(event.effective(place))),
        device_id: event.device.to_string(),
        device_type: device_type(event.meter).into(),
        cause: event.change.cause.into(),
        previous: Some(facts(&event.previous)),
        current: Some(facts(&event.change.current)),
        actor: by.map(|by| by.actor.clone()),
        trace_parent: event.trace_parent.clone(),
        registration_position: Some(position_to_wire(&event.rests_on)),
        registration_id: by.map(|by| by.registration_id.clone()).unwrap_or_default(),
        choice: given.map(|given| choice(&given.choice)),
        reasonable_steps: given.and_then(|given| given.attestation.as_ref().map(attestation)),
        site_declarations: given.and_then(|given| given.declarations.map(declarations)),
        tenancy_start_time: given.and_then(|given| given.tenancy_start.map(timestamp_to_wire)),
        review_reason: event.change.review.unwrap_or_default().into(),
        request_id: by.map(|by| by.request_id.clone()).unwrap_or_default(),
    };
    event.encode_to_vec()
}

/// The event as a supplier sees it: all of what it recorded itself; otherwise what happened, and
/// nothing of what others said or who they were (decision 14).
#[must_use]
pub fn as_seen_by(party: &PartyId, event: wire::FlagEvent) -> wire::FlagEvent {
    let recorded_by = event.actor.as_ref().map(|actor| actor.party_id.as_str());
    if recorded_by == Some(party.as_str()) {
        return event;
    }
    let without_others = |mut facts: wire::FlagFacts| {
        if facts.responsible_party_id != party.as_str() {
            facts.responsible_party_id.clear();
        }
        facts
    };
    wire::FlagEvent {
        previous: event.previous.map(without_others),
        current: event.current.map(without_others),
        actor: None,
        trace_parent: String::new(),
        registration_id: String::new(),
        choice: None,
        reasonable_steps: None,
        site_declarations: None,
        tenancy_start_time: None,
        request_id: String::new(),
        ..event
    }
}

/// The same octets for every request that means the same: what its fingerprint is made from.
#[must_use]
pub fn wish_octets(device: DeviceId, wish: &Wish, etag: &str, validate_only: bool) -> Vec<u8> {
    let given = &wish.given;
    let canonical = wire::RecordTenancyChangeRequest {
        request_id: String::new(),
        device_id: device.to_string(),
        tenancy_start_time: given.tenancy_start.map(timestamp_to_wire),
        choice: Some(choice(&given.choice)),
        reasonable_steps: given.attestation.as_ref().map(attestation),
        site_declarations: given.declarations.map(declarations),
        etag: etag.to_owned(),
        validate_only,
    };
    let mut octets = vec![match wish.kind {
        WishKind::Add => 1,
        WishKind::Remove => 2,
        WishKind::Tenancy => 3,
    }];
    octets.extend(canonical.encode_to_vec());
    octets
}

/// The same octets for every request that tells of SRV 3.2 to `device`.
#[must_use]
pub fn restriction_octets(device: DeviceId) -> Vec<u8> {
    let canonical = wire::NoteTenancyRestrictionRequest {
        request_id: String::new(),
        device_id: device.to_string(),
    };
    canonical.encode_to_vec()
}

/// What a change is answered: `AddFlagResponse`, `RemoveFlagResponse` and
/// `RecordTenancyChangeResponse` agree in these fields.
#[must_use]
pub fn change_answer(
    entry: wire::FlagEntry,
    changed: bool,
    position: Option<&Position>,
) -> wire::RemoveFlagResponse {
    wire::RemoveFlagResponse {
        entry: Some(entry),
        changed,
        replayed: false,
        position: position.map(position_to_wire),
    }
}

fn device_type(meter: Meter) -> DeviceType {
    match meter {
        Meter::Esme => DeviceType::Esme,
        Meter::Gsme => DeviceType::Gsme,
    }
}

fn facts(standing: &Standing) -> wire::FlagFacts {
    let state = if standing.flagged {
        wire::FlagState::Flagged
    } else {
        wire::FlagState::NotFlagged
    };
    wire::FlagFacts {
        state: state.into(),
        covered_device_ids: standing.covered.iter().map(ToString::to_string).collect(),
        communications_hub_id: text(standing.hub.as_ref()),
        csp_id: text(standing.csp.as_ref()),
        responsible_party_id: text(standing.supplier.as_ref()),
    }
}

fn standing(facts: &wire::FlagFacts) -> Option<Standing> {
    let covered = facts.covered_device_ids.iter().map(|id| id.parse().ok());
    Some(Standing {
        flagged: facts.state() == wire::FlagState::Flagged,
        covered: covered.collect::<Option<_>>()?,
        hub: optional(&facts.communications_hub_id, "communications_hub_id").ok()?,
        csp: optional(&facts.csp_id, "csp_id").ok()?,
        supplier: optional(&facts.responsible_party_id, "responsible_party_id").ok()?,
    })
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn choice(choice: &Choice) -> wire::ConsumerChoice {
    wire::ConsumerChoice {
        preference: choice.preference.into(),
        captured_time: Some(timestamp_to_wire(choice.captured)),
        channel: choice.channel.into(),
        captured_by_party_id: choice.captured_by.to_string(),
        evidence_reference: choice.evidence.as_str().to_owned(),
    }
}

fn attestation(attestation: &Attestation) -> wire::ReasonableSteps {
    let steps = attestation.steps.iter().map(|step| wire::ReasonableStep {
        kind: step.kind.into(),
        taken_time: Some(timestamp_to_wire(step.taken)),
    });
    let contact = attestation.contact.as_ref();
    wire::ReasonableSteps {
        steps: steps.collect(),
        contact_reference: contact
            .map(|contact| contact.as_str().to_owned())
            .unwrap_or_default(),
    }
}

fn declarations(declared: Declarations) -> wire::SiteDeclarations {
    wire::SiteDeclarations {
        economy_7_or_similar: declared.economy_7_or_similar.into(),
        radio_teleswitch: declared.radio_teleswitch.into(),
        network_managed_without_wan: declared.network_managed_without_wan.into(),
    }
}
