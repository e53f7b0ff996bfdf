//! Why does the service refuse, and how does the caller learn of it?

use mesh_api::common::v1::{ErrorReason, ItemStatus, Violation};
use mesh_api::convert::FieldErrors;
use mesh_api::status;
use mesh_authz::Refusal;
use tonic::{Code, Status};

use crate::error::ReadError;

/// Every way in which the service refuses a call, or one message of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("missing or malformed: {}", fields(.0))]
    Fields(FieldErrors),
    /// The DUIS or GBCS message cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// A request has too many messages.
    #[error("a request has at most {max} messages")]
    TooManyItems {
        /// The limit.
        max: usize,
    },
    /// The decision depends on the flag, and there is no snapshot yet.
    #[error("the flags have not been loaded yet; try again")]
    FlagsNotLoaded,
    /// The position belongs to another history of the log.
    #[error("the position belongs to another history of the log")]
    OtherEpoch,
    /// The position was not reached in time.
    #[error("this replica has not reached the position")]
    NotReached,
    /// The page token is not ours, not the caller's, or of another policy.
    #[error("the page token was not given to this caller for this policy")]
    PageToken,
    /// The caller lost its right while a stream was open.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The service is stopping.
    #[error(
        "the service is stopping or closes the connection; what was not answered was not decided"
    )]
    Draining,
}

impl Error {
    /// The one mapping to gRPC code and reason.
    #[must_use]
    pub const fn code(&self) -> (Code, ErrorReason) {
        match self {
            Self::Fields(_) => (Code::InvalidArgument, ErrorReason::FieldInvalid),
            Self::Unreadable(_) => (Code::InvalidArgument, ErrorReason::MessageUnreadable),
            Self::TooManyItems { .. } => (Code::InvalidArgument, ErrorReason::TooManyItems),
            Self::FlagsNotLoaded => (Code::Unavailable, ErrorReason::FlagsNotLoaded),
            Self::OtherEpoch => (
                Code::FailedPrecondition,
                ErrorReason::PositionOfAnotherEpoch,
            ),
            Self::NotReached => (Code::OutOfRange, ErrorReason::PositionNotReached),
            Self::PageToken => (Code::InvalidArgument, ErrorReason::PageTokenInvalid),
            Self::Refused(refusal) => refusal.code(),
            Self::Draining => (Code::Unavailable, ErrorReason::Draining),
        }
    }

    /// The error as the status of one message of a batch.
    #[must_use]
    pub fn item(&self) -> ItemStatus {
        let (code, reason) = self.code();
        let violations = match self {
            Self::Fields(errors) => {
                let each = errors.violations().iter();
                each.map(|(field, description)| violation(field, description))
                    .collect()
            }
            Self::Unreadable(error) => vec![violation(error.reason(), &error.to_string())],
            _ => Vec::new(),
        };
        ItemStatus {
            code: code.into(),
            reason: reason.into(),
            message: self.to_string(),
            violations,
        }
    }

    /// The same with the fields of a message named as those of the request that has it in `field`.
    #[must_use]
    pub fn within(self, field: &str) -> Self {
        let Self::Fields(errors) = self else {
            return self;
        };
        let mut named = FieldErrors::default();
        for (name, description) in errors.violations() {
            named.add(format!("{field}.{name}"), description);
        }
        Self::Fields(named)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = error.code();
        let text = error.to_string();
        match error {
            Error::Fields(errors) => status::invalid_fields(&errors),
            Error::Unreadable(error) => {
                status::refusal_with(code, reason, text, &[("read_error", error.reason())])
            }
            Error::Refused(refusal) => refusal.into(),
            Error::TooManyItems { .. }
            | Error::FlagsNotLoaded
            | Error::OtherEpoch
            | Error::NotReached
            | Error::PageToken
            | Error::Draining => status::refusal(code, reason, text),
        }
    }
}

fn violation(subject: &str, description: &str) -> Violation {
    Violation {
        subject: subject.to_owned(),
        description: description.to_owned(),
    }
}

fn fields(errors: &FieldErrors) -> String {
    let names: Vec<&str> = errors
        .violations()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn an_unreadable_message_says_why_in_a_call_and_in_a_batch() {
        let item = Error::Unreadable(ReadError::Truncated).item();
        assert_eq!(
            (item.code, item.reason()),
            (3, ErrorReason::MessageUnreadable)
        );
        assert_eq!(item.violations[0].subject, "GBCS_TRUNCATED");
        let status = Status::from(Error::Unreadable(ReadError::Truncated));
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, "MESSAGE_UNREADABLE");
        assert_eq!(info.metadata["read_error"], "GBCS_TRUNCATED");
    }

    #[test]
    fn fields_are_named_from_the_request_on() {
        let mut errors = FieldErrors::default();
        errors.add("origin", "is missing");
        let status = Status::from(Error::Fields(errors).within("message"));
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "message.origin");
    }
}
