//! In which ways does a request fail here, and what is the caller told?

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::FieldErrors;
use mesh_api::status;
use mesh_authz::Refusal;
use mesh_service::store_refusal;
use mesh_store::StoreError;
use mesh_types::Doubt;
use tonic::{Code, Status};

use crate::contradiction::Contradiction;
use crate::supply::{NotWithdrawn, Overlap};

/// Why a request, or one row of it, is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("missing or malformed fields")]
    Fields(FieldErrors),
    /// The page token is not one that was given to this caller for this list.
    #[error("the page token was not given to this caller for this request")]
    PageToken,
    /// More items than one call may have.
    #[error("a request has at most {0} items")]
    TooManyItems(usize),
    /// The request id was used for another request.
    #[error("the request id was used before for another request")]
    RequestIdReused,
    /// There is no such record.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The record changed since the caller read it.
    #[error("the record is not the one that the etag names")]
    EtagMismatch,
    /// Another registration is in the way.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// The registration is not one that can be withdrawn.
    #[error(transparent)]
    NotWithdrawn(#[from] NotWithdrawn),
    /// The change contradicts what is recorded.
    #[error(transparent)]
    Contradicts(#[from] Contradiction),
    /// The caller may not, or no longer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What is to take effect now would be recorded for another time.
    #[error("nothing can take effect now: {0}; give the time from when on")]
    NotNow(#[from] Doubt),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Status {
    /// The one mapping of this service. What a driver said stays in the log.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let (code, reason) = match error {
            Error::Fields(fields) => return status::invalid_fields(&fields),
            Error::Refused(refusal) => return refusal.into(),
            Error::Store(error) => return store_refusal(&error),
            Error::PageToken => (Code::InvalidArgument, ErrorReason::PageTokenInvalid),
            Error::TooManyItems(_) => (Code::InvalidArgument, ErrorReason::TooManyItems),
            Error::RequestIdReused => (Code::AlreadyExists, ErrorReason::RequestIdReused),
            Error::NotFound(_) => (Code::NotFound, ErrorReason::NotFound),
            Error::EtagMismatch => (Code::Aborted, ErrorReason::EtagMismatch),
            Error::Overlap(_) => (Code::FailedPrecondition, ErrorReason::RegistrationOverlap),
            Error::NotWithdrawn(NotWithdrawn::Unknown) => (Code::NotFound, ErrorReason::NotFound),
            Error::NotWithdrawn(NotWithdrawn::Begun) => {
                (Code::FailedPrecondition, ErrorReason::RegistrationBegun)
            }
            Error::NotNow(_) => (Code::Unavailable, ErrorReason::ClockNotBelieved),
            Error::Contradicts(_) => (Code::FailedPrecondition, ErrorReason::ContradictsRecord),
        };
        status::refusal(code, reason, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code_and_reason() {
        use ErrorReason as R;
        let party = || "ACME".parse().unwrap();
        let mut fields = FieldErrors::default();
        fields.add("x", "is missing");
        for (error, code, reason) in [
            (
                Error::Fields(fields),
                Code::InvalidArgument,
                R::FieldInvalid,
            ),
            (Error::PageToken, Code::InvalidArgument, R::PageTokenInvalid),
            (
                Error::TooManyItems(1),
                Code::InvalidArgument,
                R::TooManyItems,
            ),
            (
                Error::RequestIdReused,
                Code::AlreadyExists,
                R::RequestIdReused,
            ),
            (Error::NotFound("Device"), Code::NotFound, R::NotFound),
            (Error::EtagMismatch, Code::Aborted, R::EtagMismatch),
            (
                Error::Overlap(Overlap),
                Code::FailedPrecondition,
                R::RegistrationOverlap,
            ),
            (NotWithdrawn::Unknown.into(), Code::NotFound, R::NotFound),
            (
                NotWithdrawn::Begun.into(),
                Code::FailedPrecondition,
                R::RegistrationBegun,
            ),
            (
                Error::Contradicts(Contradiction::NotASupplier(party())),
                Code::FailedPrecondition,
                R::ContradictsRecord,
            ),
            (
                Error::Refused(Refusal::RoleNotPermitted),
                Code::PermissionDenied,
                R::RoleNotPermitted,
            ),
            (
                Error::NotNow(Doubt::LogAhead(std::time::Duration::from_secs(60))),
                Code::Unavailable,
                R::ClockNotBelieved,
            ),
            (
                Error::Store(StoreError::Busy),
                Code::ResourceExhausted,
                R::Overloaded,
            ),
            (
                Error::Store(StoreError::Stopped),
                Code::Unavailable,
                R::Draining,
            ),
            (
                Error::Store(StoreError::Panicked),
                Code::Internal,
                R::Internal,
            ),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            assert_eq!(status::reason_of(&status), Some(reason));
        }
    }
}
