//! Is a request to change a flag well formed, and what does it ask for?
//!
//! Malformed is what no Device could make right: a missing choice, an unknown enum value, a
//! reference with a line break. What may be missing (steps, declarations) is left to the
//! preconditions, which report it with all the others.

use std::collections::HashMap;

use mesh_api::convert::{FieldErrors, timestamp_from_wire};
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::{Channel, Declaration, Preference, StepKind};
use mesh_types::{Bounds, RequestId, Timestamp};

use crate::preference::{
    Attestation, Choice, Declarations, Given, MAX_STEPS, Reference, Step, Wish, WishKind,
};
use crate::restriction::Restriction;

/// A well-formed request, without its Device: that comes from the permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The caller's id for it, a UUID in lower case with dashes.
    pub request_id: String,
    /// What it asks for.
    pub wish: Wish,
    /// If not empty, the change is made only if the entry still has this etag.
    pub etag: String,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

/// Reads a request to set a flag.
pub fn add(request: wire::AddFlagRequest) -> Result<Request, FieldErrors> {
    let mut errors = FieldErrors::default();
    let choice = choice(&mut errors, request.choice);
    let attestation = attestation(&mut errors, request.reasonable_steps);
    let declarations = declarations(&mut errors, request.site_declarations);
    let request_id = request_id(&mut errors, &request.request_id);
    finish(errors, request_id, choice, |choice| Given {
        choice,
        attestation,
        declarations,
        tenancy_start: None,
    })
    .map(|(request_id, given)| Request {
        request_id,
        wish: wish(WishKind::Add, given),
        etag: request.etag,
        validate_only: request.validate_only,
    })
}

/// Reads a request to lift a flag.
pub fn remove(request: wire::RemoveFlagRequest) -> Result<Request, FieldErrors> {
    let mut errors = FieldErrors::default();
    let choice = choice(&mut errors, request.choice);
    let request_id = request_id(&mut errors, &request.request_id);
    finish(errors, request_id, choice, |choice| Given {
        choice,
        attestation: None,
        declarations: None,
        tenancy_start: None,
    })
    .map(|(request_id, given)| Request {
        request_id,
        wish: wish(WishKind::Remove, given),
        etag: request.etag,
        validate_only: request.validate_only,
    })
}

/// Of each request of a batch at most so many violations are told: a thousand answers have to fit into
/// one message that any client takes.
const MOST_TOLD: usize = 12;

/// Reads requests of a batch by `read`, each by itself. `id` is the one that it carries.
pub fn each<R>(
    requests: Vec<R>,
    id: impl Fn(&R) -> &str,
    read: impl Fn(R) -> Result<Request, FieldErrors>,
) -> Result<Vec<Result<Request, FieldErrors>>, FieldErrors> {
    if requests.is_empty() {
        let mut errors = FieldErrors::default();
        errors.add("requests", "is empty");
        return Err(errors);
    }
    let mut first_at: HashMap<RequestId, usize> = HashMap::with_capacity(requests.len());
    let read_one = |(place, request): (usize, R)| {
        let id: Option<RequestId> = id(&request).parse().ok();
        let first = id.map_or(place, |id| *first_at.entry(id).or_insert(place));
        let read = read(request);
        if first == place {
            return read.map_err(shortened);
        }
        let mut errors = read.err().unwrap_or_default();
        errors.add("request_id", format!("is that of requests[{first}]"));
        Err(shortened(errors))
    };
    Ok(requests.into_iter().enumerate().map(read_one).collect())
}

fn shortened(mut errors: FieldErrors) -> FieldErrors {
    errors.shorten(MOST_TOLD);
    errors
}

/// Reads a change of tenancy, which began by `now`.
pub fn tenancy(
    request: wire::RecordTenancyChangeRequest,
    now: Timestamp,
) -> Result<Request, FieldErrors> {
    let mut errors = FieldErrors::default();
    let start = request.tenancy_start_time.as_ref();
    let tenancy_start = instant(&mut errors, "tenancy_start_time", start);
    let tenancy_start = tenancy_start
        .and_then(|start| errors.keep("tenancy_start_time", Bounds::CONSUMER.check(start, now)));
    let choice = choice(&mut errors, request.choice);
    let attestation = attestation(&mut errors, request.reasonable_steps);
    let declarations = declarations(&mut errors, request.site_declarations);
    let request_id = request_id(&mut errors, &request.request_id);
    finish(errors, request_id, choice, |choice| Given {
        choice,
        attestation,
        declarations,
        tenancy_start,
    })
    .map(|(request_id, given)| Request {
        request_id,
        wish: wish(WishKind::Tenancy, given),
        etag: request.etag,
        validate_only: request.validate_only,
    })
}

/// Reads that SRV 3.2 was sent to a Device.
pub fn restriction(
    request: &wire::NoteTenancyRestrictionRequest,
) -> Result<Restriction, FieldErrors> {
    let mut errors = FieldErrors::default();
    let request_id = request_id(&mut errors, &request.request_id);
    let device = errors.parse("device_id", &request.device_id);
    match (request_id, device) {
        (Some(request_id), Some(device)) => Ok(Restriction { request_id, device }),
        _ => Err(errors),
    }
}

fn wish(kind: WishKind, given: Given) -> Wish {
    Wish { kind, given }
}

/// All parts, or everything that is wrong with any of them.
fn finish(
    errors: FieldErrors,
    request_id: Option<String>,
    choice: Option<Choice>,
    given: impl FnOnce(Choice) -> Given,
) -> Result<(String, Given), FieldErrors> {
    match (request_id, choice) {
        (Some(request_id), Some(choice)) if errors.is_empty() => Ok((request_id, given(choice))),
        _ => Err(errors),
    }
}

fn request_id(errors: &mut FieldErrors, text: &str) -> Option<String> {
    let id: Option<RequestId> = errors.parse("request_id", text);
    id.map(|id| id.to_string())
}

fn choice(errors: &mut FieldErrors, choice: Option<wire::ConsumerChoice>) -> Option<Choice> {
    let Some(choice) = choice else {
        errors.add("choice", "is missing");
        return None;
    };
    let preference = known(
        errors,
        "choice.preference",
        Preference::try_from(choice.preference),
    );
    let captured = choice.captured_time.as_ref();
    let captured = past(errors, "choice.captured_time", captured);
    let channel = known(errors, "choice.channel", Channel::try_from(choice.channel));
    let captured_by = errors.parse("choice.captured_by_party_id", &choice.captured_by_party_id);
    let evidence = errors.parse("choice.evidence_reference", &choice.evidence_reference);
    Some(Choice {
        preference: preference?,
        captured: captured?,
        channel: channel?,
        captured_by: captured_by?,
        evidence: evidence?,
    })
}

fn attestation(
    errors: &mut FieldErrors,
    attestation: Option<wire::ReasonableSteps>,
) -> Option<Attestation> {
    let attestation = attestation?;
    if attestation.steps.len() > MAX_STEPS {
        errors.add(
            "reasonable_steps.steps",
            format!("has more than {MAX_STEPS} steps"),
        );
        return None;
    }
    let mut steps = Vec::with_capacity(attestation.steps.len());
    for (index, step) in attestation.steps.iter().enumerate() {
        let path = format!("reasonable_steps.steps[{index}]");
        let kind = known(
            errors,
            &format!("{path}.kind"),
            StepKind::try_from(step.kind),
        );
        let taken = past(
            errors,
            &format!("{path}.taken_time"),
            step.taken_time.as_ref(),
        );
        if let (Some(kind), Some(taken)) = (kind, taken) {
            steps.push(Step { kind, taken });
        }
    }
    let contact: Option<Reference> = match attestation.contact_reference.as_str() {
        "" => None,
        text => errors.parse("reasonable_steps.contact_reference", text),
    };
    Some(Attestation { steps, contact })
}

fn declarations(
    errors: &mut FieldErrors,
    declared: Option<wire::SiteDeclarations>,
) -> Option<Declarations> {
    let declared = declared?;
    let mut read = |field: &str, value: i32| {
        let value = Declaration::try_from(value).map_err(|_| "is a value that is not known");
        errors.keep(&format!("site_declarations.{field}"), value)
    };
    let economy_7_or_similar = read("economy_7_or_similar", declared.economy_7_or_similar);
    let radio_teleswitch = read("radio_teleswitch", declared.radio_teleswitch);
    let network_managed_without_wan = read(
        "network_managed_without_wan",
        declared.network_managed_without_wan,
    );
    Some(Declarations {
        economy_7_or_similar: economy_7_or_similar?,
        radio_teleswitch: radio_teleswitch?,
        network_managed_without_wan: network_managed_without_wan?,
    })
}

/// The value of an enum, which must be one that is known and not the unspecified one.
fn known<E, X>(errors: &mut FieldErrors, field: &str, value: Result<E, X>) -> Option<E>
where
    E: Default + PartialEq,
{
    match value {
        Ok(value) if value != E::default() => Some(value),
        Ok(_) => {
            errors.add(field, "is missing");
            None
        }
        Err(_) => {
            errors.add(field, "is a value that is not known");
            None
        }
    }
}

/// An instant that is not too early for a Device that can be flagged. What lies in the future is for
/// the preconditions, which report it with all the others.
fn past(
    errors: &mut FieldErrors,
    field: &str,
    time: Option<&prost_types::Timestamp>,
) -> Option<Timestamp> {
    let at = instant(errors, field, time)?;
    errors.keep(field, Bounds::CONSUMER.check_first(at))
}

fn instant(
    errors: &mut FieldErrors,
    field: &str,
    time: Option<&prost_types::Timestamp>,
) -> Option<Timestamp> {
    match time {
        Some(time) => errors.keep(field, timestamp_from_wire(time)),
        None => {
            errors.add(field, "is missing");
            None
        }
    }
}
