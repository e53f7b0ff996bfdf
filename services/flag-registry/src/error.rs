//! Why does the service refuse, and how does the caller learn of it?

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::FieldErrors;
use mesh_api::status;
use mesh_authz::Refusal;
use mesh_service::store_refusal;
use mesh_store::StoreError;
use tonic::{Code, Status};

use crate::facts::MalformedRecord;
use crate::preconditions::{Violation, precondition_name};
use crate::quota::UsedUp;

/// Every way in which the service refuses a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("fields are missing or malformed")]
    Fields(FieldErrors),
    /// The authorization layer's own refusals, found while a call was under way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The flag may not be changed.
    #[error("{} preconditions are not met", .0.len())]
    Preconditions(Vec<Violation>),
    /// The entry changed since the caller read it.
    #[error("the entry has changed since it was read; its etag is now \"{now}\"")]
    EtagMismatch {
        /// The etag that it has.
        now: String,
    },
    /// A quota is used up.
    #[error("{used_up}")]
    QuotaExhausted {
        /// Which.
        used_up: UsedUp,
        /// The Device or party whose quota it is.
        subject: String,
    },
    /// The request id was used for another request.
    #[error("the request id was used before for a request with another content")]
    RequestIdReused,
    /// Facts kept changing between check and commit.
    #[error("facts kept changing between check and commit; try again")]
    AuthorityChanged,
    /// The page token is not ours, not the caller's, or not for this request.
    #[error("the page token was not given to this caller for this request")]
    PageToken,
    /// A record of registration is malformed.
    #[error(transparent)]
    Malformed(#[from] MalformedRecord),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The reason that the caller is told, if it is one of ours.
    pub(crate) fn reason(&self) -> Option<ErrorReason> {
        match self {
            Self::Fields(_) => Some(ErrorReason::FieldInvalid),
            Self::Refused(refusal) => Some(refusal.code().1),
            Self::Preconditions(_) => Some(ErrorReason::PreconditionsNotMet),
            Self::EtagMismatch { .. } => Some(ErrorReason::EtagMismatch),
            Self::QuotaExhausted { .. } => Some(ErrorReason::QuotaExhausted),
            Self::RequestIdReused => Some(ErrorReason::RequestIdReused),
            Self::AuthorityChanged => Some(ErrorReason::AuthorityChanged),
            Self::PageToken => Some(ErrorReason::PageTokenInvalid),
            Self::Malformed(_) => None,
            Self::Store(error) => status::reason_of(&store_refusal(error)),
        }
    }
}

impl From<Error> for Status {
    /// The one mapping to gRPC code and reason.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Fields(errors) => status::invalid_fields(&errors),
            Error::Refused(refusal) => refusal.into(),
            Error::Preconditions(violations) => {
                let violations = violations.into_iter().map(|violation| {
                    let name = precondition_name(violation.precondition).to_owned();
                    (name, violation.subject, violation.description)
                });
                status::preconditions_not_met("the flag may not be changed", violations)
            }
            Error::EtagMismatch { .. } => {
                status::refusal(Code::Aborted, ErrorReason::EtagMismatch, text)
            }
            Error::QuotaExhausted { used_up, subject } => {
                let quota = status::Quota {
                    name: used_up.quota.name(),
                    subject: &subject,
                    size: used_up.size.get().into(),
                    window: UsedUp::WINDOW,
                };
                status::quota_exhausted(text, &quota, used_up.wait)
            }
            Error::RequestIdReused => {
                status::refusal(Code::AlreadyExists, ErrorReason::RequestIdReused, text)
            }
            Error::AuthorityChanged => {
                status::refusal(Code::Aborted, ErrorReason::AuthorityChanged, text)
            }
            Error::PageToken => {
                status::refusal(Code::InvalidArgument, ErrorReason::PageTokenInvalid, text)
            }
            Error::Malformed(_) => {
                tracing::error!(error = text, "registration's answer cannot be used");
                status::internal()
            }
            Error::Store(error) => store_refusal(&error),
        }
    }
}
