//! Who may call an RPC, how is it put on record, and how large may a request be: in words.

use mesh_api::audit::v1::Recording;
use mesh_api::authorization::v1::grant::Condition;
use mesh_api::authorization::v1::{Grant, Rule};
use prost::Message as _;
use prost_reflect::{MethodDescriptor, Value};

/// The lines about a method.
pub(crate) fn lines(method: &MethodDescriptor) -> Vec<String> {
    let Some(Value::Message(rule)) = option(method, "mp169.authorization.v1.rule") else {
        panic!("{} has no rule", method.full_name());
    };
    let rule = Rule::decode(rule.encode_to_vec().as_slice()).unwrap();
    let mut lines = vec!["Who may call:".to_owned(), String::new()];
    lines.extend(rule.allow.iter().map(|grant| format!("- {}", who(grant))));
    lines.push(String::new());
    let Some(Value::EnumNumber(recording)) = option(method, "mp169.audit.v1.recording") else {
        panic!("{} has no recording", method.full_name());
    };
    let recording = Recording::try_from(recording).unwrap();
    let recorded = format!(
        "On record: [{}](mp169.audit.v1.md#recording).",
        recording.as_str_name().trim_start_matches("RECORDING_")
    );
    lines.push(
        match option(method, "mp169.authorization.v1.request_octets") {
            Some(Value::U32(octets)) => {
                format!(
                    "{recorded} A message of the request has at most {} MiB.",
                    octets >> 20
                )
            }
            _ => recorded,
        },
    );
    lines
}

fn option(method: &MethodDescriptor, name: &str) -> Option<Value> {
    let extension = method.parent_pool().get_extension_by_name(name).unwrap();
    let options = method.options();
    let given = options.has_extension(&extension);
    given.then(|| options.get_extension(&extension).into_owned())
}

fn who(grant: &Grant) -> String {
    let roles = grant.roles().map(|role| {
        let name = role.as_str_name().trim_start_matches("ROLE_");
        format!("[{name}](mp169.authorization.v1.md#role)")
    });
    let roles = roles.collect::<Vec<_>>().join(", ");
    let condition = match &grant.condition {
        None => return roles,
        Some(Condition::ResponsibleSupplier(of)) if of.followed_suffices => format!(
            "as the Responsible Supplier of each Device in `{}`; while registration cannot be reached, by what the \
             service has followed of a flagged Device",
            of.device_id
        ),
        Some(Condition::ResponsibleSupplier(of)) => {
            format!(
                "as the Responsible Supplier of each Device in `{}`",
                of.device_id
            )
        }
        Some(Condition::OwnCsp(own)) => format!("about its own CSP, in `{}`", own.csp_id),
        Some(Condition::OwnParty(own)) => format!("about itself, in `{}`", own.party_id),
    };
    format!("{roles}: {condition}")
}
