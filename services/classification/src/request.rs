//! What does a caller ask about: the contract's message, read once.

use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code;
use mesh_api::convert::FieldErrors;
use mesh_types::DeviceId;

use crate::codes::{AlertCode, MessageCode, Srv};
use crate::message::{Devices, MAX_DEVICES, Message, Origin};
use crate::policy::Policy;
use crate::problem::Error;
use crate::structured::Structured;
use crate::{duis, gbcs};

/// Reads a message in any of its forms.
///
/// # Errors
/// [`Error::Fields`], named from the message on; [`Error::Unreadable`].
pub fn read(policy: &Policy, message: wire::Message) -> Result<Message, Error> {
    let origin = origin(message.origin)?;
    let read = match message.content {
        None => return Err(field("content", "is missing")),
        Some(Content::Structured(fields)) => return structured(policy, &fields, origin),
        Some(Content::DuisXml(document)) => duis::read(policy, &document)?,
        Some(Content::Gbcs(octets)) => gbcs::read(&octets)?.message(),
    };
    raw_with(read, origin)
}

/// How many octets there are to read, more or less: what a message costs.
#[must_use]
pub fn octets(message: &wire::Message) -> usize {
    match &message.content {
        Some(Content::DuisXml(octets) | Content::Gbcs(octets)) => octets.len(),
        Some(Content::Structured(fields)) => fields.device_ids.len() * 24,
        None => 0,
    }
}

fn origin(origin: i32) -> Result<Option<Origin>, Error> {
    match wire::Origin::try_from(origin) {
        Ok(wire::Origin::Unspecified) => Ok(None),
        Ok(wire::Origin::OnDemand) => Ok(Some(Origin::OnDemand)),
        Ok(wire::Origin::Scheduled) => Ok(Some(Origin::Scheduled)),
        Ok(wire::Origin::FutureDated) => Ok(Some(Origin::FutureDated)),
        Ok(wire::Origin::Response) => Ok(Some(Origin::Response)),
        Ok(wire::Origin::Alert) => Ok(Some(Origin::Alert)),
        Err(_) => Err(field("origin", "is a value that is not known")),
    }
}

/// A raw message says itself whether it is a request, a response or an alert; only of a request the
/// caller knows better why it is dispatched.
fn raw_with(message: Message, said: Option<Origin>) -> Result<Message, Error> {
    let is_request = |origin| !matches!(origin, Origin::Response | Origin::Alert);
    match said {
        Some(said) if is_request(said) && is_request(message.origin) => Ok(Message {
            origin: said,
            ..message
        }),
        Some(said) if said != message.origin => Err(field("origin", "contradicts the message")),
        _ => Ok(message),
    }
}

fn structured(
    policy: &Policy,
    fields: &wire::StructuredMessage,
    origin: Option<Origin>,
) -> Result<Message, Error> {
    let mut errors = FieldErrors::default();
    if origin.is_none() {
        errors.add("origin", "is missing: a structured message says it");
    }
    let mut read = Structured {
        origin,
        devices: devices(&fields.device_ids, &mut errors),
        ..Structured::default()
    };
    match &fields.code {
        None => errors.add("structured.code", "is missing"),
        Some(Code::ServiceReferenceVariant(text)) => {
            read.srv = errors.parse("structured.service_reference_variant", text);
        }
        Some(Code::GbcsMessageCode(code)) => {
            let code = short("structured.gbcs_message_code", *code, &mut errors);
            read.message = code.map(MessageCode);
        }
        Some(Code::AlertCode(code)) => {
            read.alert = short("structured.alert_code", *code, &mut errors).map(AlertCode);
        }
        Some(Code::DccAlertCode(text)) => {
            read.dcc_alert = errors.parse("structured.dcc_alert_code", text);
        }
    }
    inside(fields, &mut read, &mut errors);
    one_device_unless_a_list(policy, &read, &mut errors);
    if !errors.is_empty() {
        return Err(Error::Fields(errors));
    }
    // All that remains to be missing is the Device of a message that could be suppressed.
    let message = read.message(policy);
    message.map_err(|error| field("structured.device_ids", &error.to_string()))
}

/// What 5.1 and 8.13 have inside, which is for them alone.
fn inside(fields: &wire::StructuredMessage, read: &mut Structured, errors: &mut FieldErrors) {
    let name = "structured.scheduled_service_reference_variant";
    let text = fields.scheduled_service_reference_variant.as_str();
    let answered = read.origin == Some(Origin::Response);
    let schedules = read.srv == Some(Srv::CREATE_SCHEDULE) && !answered;
    match (schedules, text) {
        (false, "") => {}
        (true, "") => errors.add(name, "is missing: it says what SRV 5.1 schedules"),
        (true, text) => read.nested = errors.parse(name, text),
        (false, _) => errors.add(name, "goes with a request of SRV 5.1 only"),
    }
    let name = "structured.nested_gbcs_message_code";
    let returns = read.srv == Some(Srv::RETURN_LOCAL_COMMAND_RESPONSE) && !answered;
    match (returns, fields.nested_gbcs_message_code) {
        (false, 0) => {}
        (true, 0) => errors.add(name, "is missing: it says what SRV 8.13 returns"),
        (true, code) => read.message = short(name, code, errors).map(MessageCode),
        (false, _) => errors.add(name, "goes with a request of SRV 8.13 only"),
    }
}

fn one_device_unless_a_list(policy: &Policy, read: &Structured, errors: &mut FieldErrors) {
    // Requests to the DCC itself can name several Devices; of an unknown one nothing is known.
    let lists = read.srv.is_some_and(|srv| {
        policy
            .service_request(srv)
            .is_none_or(|request| request.non_device)
    });
    if matches!(read.devices, Devices::Many(_)) && !lists {
        errors.add(
            "structured.device_ids",
            "only a request to the DCC itself names several Devices",
        );
    }
}

fn devices(texts: &[String], errors: &mut FieldErrors) -> Devices {
    if texts.len() > MAX_DEVICES {
        errors.add("structured.device_ids", "are at most 50,000");
        return Devices::None;
    }
    let mut device = |(at, text): (usize, &String)| -> Option<DeviceId> {
        let parsed = text.parse::<DeviceId>();
        parsed
            .map_err(|error| errors.add(format!("structured.device_ids[{at}]"), error.to_string()))
            .ok()
    };
    match texts {
        [one] => device((0, one)).map_or(Devices::None, Devices::One),
        _ => Devices::of(texts.iter().enumerate().filter_map(device).collect()),
    }
}

fn short(name: &str, code: u32, errors: &mut FieldErrors) -> Option<u16> {
    let code = u16::try_from(code);
    errors.keep(name, code.map_err(|_| "is a code of 16 bits"))
}

fn field(name: &str, problem: &str) -> Error {
    let mut errors = FieldErrors::default();
    errors.add(name, problem);
    Error::Fields(errors)
}

#[cfg(test)]
mod tests;
