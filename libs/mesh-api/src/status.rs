//! Refusals in one form: a gRPC code, an [`ErrorReason`] in `google.rpc.ErrorInfo`, and details.

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, PreconditionFailure, QuotaViolation, StatusExt};

use crate::common::v1::{ErrorReason, ItemStatus, Violation};
use crate::convert::FieldErrors;

/// The domain of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "mp169.dcc.example";

/// The name of a reason as it travels: without the enum's prefix.
#[must_use]
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The reason that a status carries, if it is one of ours.
#[must_use]
pub fn reason_of(status: &Status) -> Option<ErrorReason> {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .filter(|info| info.domain == ERROR_DOMAIN)?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

fn info(reason: ErrorReason, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(reason), ERROR_DOMAIN, metadata);
    details
}

/// A refusal with a reason.
#[must_use]
pub fn refusal(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    refusal_with(code, reason, message, &[])
}

/// A refusal with a reason and its metadata.
#[must_use]
pub fn refusal_with(
    code: Code,
    reason: ErrorReason,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// `INVALID_ARGUMENT` with every field that is wrong.
#[must_use]
pub fn invalid_fields(errors: &FieldErrors) -> Status {
    let mut details = info(ErrorReason::FieldInvalid, &[]);
    let mut bad = BadRequest::new(vec![]);
    for (field, description) in errors.violations() {
        bad.add_violation(field, description);
    }
    details.set_bad_request(bad.field_violations);
    let fields: Vec<&str> = errors
        .violations()
        .iter()
        .map(|(field, _)| field.as_str())
        .collect();
    let message = format!("missing or malformed: {}", fields.join(", "));
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// `FAILED_PRECONDITION` with every violated precondition: its type, its subject, and what is wrong.
#[must_use]
pub fn preconditions_not_met(
    message: impl Into<String>,
    violations: impl IntoIterator<Item = (String, String, String)>,
) -> Status {
    let mut details = info(ErrorReason::PreconditionsNotMet, &[]);
    let mut failure = PreconditionFailure::new(vec![]);
    for (kind, subject, description) in violations {
        failure.add_violation(kind, subject, description);
    }
    details.set_precondition_failure(failure.violations);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// `RESOURCE_EXHAUSTED` (or another code) that says when to try again, also in the trailer that
/// gRFC A6 names, so that a client's retry policy obeys it.
#[must_use]
pub fn try_later(
    code: Code,
    reason: ErrorReason,
    message: impl Into<String>,
    after: Duration,
) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(after));
    let mut status = Status::with_error_details(code, message, details);
    let millis = after.as_millis().to_string();
    if let Ok(value) = millis.parse() {
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", value);
    }
    status
}

/// A quota that is used up.
#[derive(Debug, Clone, Copy)]
pub struct Quota<'a> {
    /// Which one, as in `DEVICE_LIFTS`.
    pub name: &'a str,
    /// The Device or party whose quota it is.
    pub subject: &'a str,
    /// How much it allows in the window.
    pub size: i64,
    /// The time in which it allows so much.
    pub window: Duration,
}

/// `RESOURCE_EXHAUSTED` because a quota is used up, with room again `after` so long. It is for people:
/// the trailer that gRFC A6 names tells a client's retry policy not to try again by itself.
#[must_use]
pub fn quota_exhausted(message: impl Into<String>, quota: &Quota<'_>, after: Duration) -> Status {
    let message = message.into();
    let (size, window) = (quota.size.to_string(), quota.window.as_secs().to_string());
    let mut details = info(
        ErrorReason::QuotaExhausted,
        &[
            ("quota", quota.name),
            ("limit", &size),
            ("window_seconds", &window),
        ],
    );
    details.set_retry_info(Some(after));
    details.set_quota_failure([QuotaViolation {
        quota_id: quota.name.to_owned(),
        quota_value: quota.size,
        ..QuotaViolation::new(quota.subject, message.as_str())
    }]);
    let mut status = Status::with_error_details(Code::ResourceExhausted, message, details);
    status
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", MetadataValue::from_static("-1"));
    status
}

/// A defect of the service: nothing of it crosses the wire but the code.
#[must_use]
pub fn internal() -> Status {
    refusal(
        Code::Internal,
        ErrorReason::Internal,
        "the service failed; its log has the details",
    )
}

/// The same refusal as the status of one item of a batch.
#[must_use]
pub fn item_status(status: &Status) -> ItemStatus {
    let details = status.get_error_details();
    let fields = details
        .bad_request()
        .into_iter()
        .flat_map(|bad| &bad.field_violations)
        .map(|v| Violation {
            subject: v.field.clone(),
            description: v.description.clone(),
        });
    let preconditions = details
        .precondition_failure()
        .into_iter()
        .flat_map(|failure| &failure.violations)
        .map(|v| Violation {
            subject: v.r#type.clone(),
            description: v.description.clone(),
        });
    ItemStatus {
        code: i32::from(status.code()),
        reason: reason_of(status).unwrap_or(ErrorReason::Unspecified).into(),
        message: status.message().to_owned(),
        violations: fields.chain(preconditions).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_reason_both_ways() {
        let status = refusal(Code::NotFound, ErrorReason::NotFound, "no such party");
        assert_eq!(reason_of(&status), Some(ErrorReason::NotFound));
        assert_eq!(
            status.get_error_details().error_info().unwrap().reason,
            "NOT_FOUND"
        );
        assert_eq!(reason_of(&Status::not_found("")), None);
    }

    #[test]
    fn all_that_is_wrong_reaches_an_item_status() {
        let mut errors = FieldErrors::default();
        errors.add("device_id", "no EUI-64");
        errors.add("choice", "missing");
        let item = item_status(&invalid_fields(&errors));
        assert_eq!((item.code, item.reason()), (3, ErrorReason::FieldInvalid));
        let subjects: Vec<_> = item.violations.iter().map(|v| v.subject.as_str()).collect();
        assert_eq!(subjects, ["device_id", "choice"]);
    }

    /// Most clients take no more than 16 KiB of headers, and end the call if they get more.
    #[test]
    fn however_much_is_wrong_the_refusal_can_be_received() {
        let mut errors = FieldErrors::default();
        for number in 0..10_000 {
            errors.add(
                format!("reasonable_steps.steps[{number}].taken_time"),
                "no ".repeat(1_000),
            );
        }
        let headers = invalid_fields(&errors).into_http::<()>();
        let octets = headers.headers().iter();
        let octets: usize = octets
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        assert!(octets < 16 << 10, "{octets} octets");
        let subjects = errors.violations();
        assert_eq!(subjects[0].0, "reasonable_steps.steps[0].taken_time");
        assert!(!errors.is_empty());
    }

    #[test]
    fn a_quota_says_when_and_has_no_program_wait_for_it() {
        let quota = Quota {
            name: "DEVICE_LIFTS",
            subject: "00-DB-12-34-56-78-90-A0",
            size: 10,
            window: Duration::from_hours(24),
        };
        let status = quota_exhausted("used up", &quota, Duration::from_hours(3));
        assert_eq!(reason_of(&status), Some(ErrorReason::QuotaExhausted));
        assert_eq!(
            status.metadata().get("grpc-retry-pushback-ms").unwrap(),
            "-1"
        );
        let details = status.get_error_details();
        let after = details.retry_info().unwrap().retry_delay;
        assert_eq!(after, Some(Duration::from_hours(3)));
        let violation = &details.quota_failure().unwrap().violations[0];
        assert_eq!(violation.subject, quota.subject);
        assert_eq!(
            (&*violation.quota_id, violation.quota_value),
            (quota.name, 10)
        );
        let told = &details.error_info().unwrap().metadata;
        assert_eq!((&*told["limit"], &*told["window_seconds"]), ("10", "86400"));
    }

    #[test]
    fn a_pushback_stands_in_details_and_metadata() {
        let later = Duration::from_millis(250);
        let status = try_later(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "full",
            later,
        );
        assert_eq!(
            status.metadata().get("grpc-retry-pushback-ms").unwrap(),
            "250"
        );
        assert_eq!(
            status.get_error_details().retry_info().unwrap().retry_delay,
            Some(later)
        );
    }
}
