//! What came out of a call, in one line: for the story, for tables and for exit codes.

use mesh_api::common::v1::ItemStatus;
use mesh_api::status::{reason_name, reason_of};
use tonic::Status;
use tonic_types::StatusExt as _;

/// The refusal in one line: code, reason, and every violated precondition or field.
#[must_use]
pub(crate) fn refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = reason_of(status).map(reason_name);
    let code = mesh_rpc::code_name(status.code());
    let mut line = code.to_owned();
    // Some reasons say no more than the code.
    if let Some(reason) = reason.filter(|reason| *reason != code) {
        line.push(' ');
        line.push_str(reason);
    }
    let mut what: Vec<&str> = Vec::new();
    if let Some(failure) = details.precondition_failure() {
        what.extend(
            failure
                .violations
                .iter()
                .map(|violation| violation.r#type.as_str()),
        );
    }
    if let Some(bad) = details.bad_request() {
        what.extend(
            bad.field_violations
                .iter()
                .map(|violation| violation.field.as_str()),
        );
    }
    if !what.is_empty() {
        line.push_str(": ");
        line.push_str(&what.join(", "));
    }
    line
}

/// The refusal in sentences, one a line: its message, and every violation with its description.
#[must_use]
pub(crate) fn explain(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = vec![status.message().to_owned()];
    if let Some(failure) = details.precondition_failure() {
        let violations = failure.violations.iter();
        lines.extend(violations.map(|v| format!("  {}: {}", v.r#type, v.description)));
    }
    if let Some(bad) = details.bad_request() {
        let violations = bad.field_violations.iter();
        lines.extend(violations.map(|v| format!("  {}: {}", v.field, v.description)));
    }
    lines
}

/// All that is wrong with one of many items, in one line.
#[must_use]
pub(crate) fn faults(status: &ItemStatus) -> String {
    let violations = status.violations.iter();
    let details: Vec<_> = violations
        .map(|v| format!("{} {}", v.subject, v.description))
        .collect();
    if details.is_empty() {
        status.message.clone()
    } else {
        details.join("; ")
    }
}

/// The same with the reason before it, if there is one.
#[must_use]
pub(crate) fn why(status: &ItemStatus) -> String {
    match status.reason {
        0 => faults(status),
        _ => format!("{}: {}", reason_name(status.reason()), faults(status)),
    }
}

/// What is said of an item that was not even sent.
#[must_use]
pub(crate) fn unsent(message: String) -> ItemStatus {
    ItemStatus {
        message,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::common::v1::ErrorReason;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_reason_that_is_the_code_is_said_once() {
        let late = |reason| {
            refusal(&mesh_api::status::refusal(
                Code::DeadlineExceeded,
                reason,
                "no",
            ))
        };
        assert_eq!(late(ErrorReason::DeadlineExceeded), "DEADLINE_EXCEEDED");
        let other = late(ErrorReason::Overloaded);
        assert_eq!(other, "DEADLINE_EXCEEDED OVERLOADED");
    }
}
