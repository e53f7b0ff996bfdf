//! Why is a call refused, and what is the caller told?

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::FieldErrors;
use mesh_api::status;
use mesh_authz::Refusal;
use mesh_service::store_refusal;
use mesh_store::StoreError;
use mesh_types::Sequence;
use tonic::{Code, Status};

/// Every way in which this service refuses.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// A field is missing or malformed.
    #[error("{field} {problem}")]
    Field {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The page token was not given to this caller for this request.
    #[error("the page token was not given to this caller for this request")]
    PageToken,
    /// There is no such subscription.
    #[error("there is no subscription of this CSP")]
    NotFound,
    /// The position is not one of this history of the CSP's log.
    #[error("the position belongs to another history of the log; start over with a snapshot")]
    OtherEpoch,
    /// The CSP's log lacks what the CSP says it has seen.
    #[error(
        "the log lacks event {0}, which this CSP has seen; nothing is sent until the right database is \
         back or the operator has accepted the loss"
    )]
    LogWentBack(Sequence),
    /// The acknowledged event was never sent.
    #[error("the acknowledgement names what was never sent")]
    AcknowledgedNotSent,
    /// A newer connection has taken the subscription over.
    #[error("a newer connection took over this subscription")]
    Superseded,
    /// Another replica has projected these events. Never leaves the service.
    #[error("another replica has moved the cursor")]
    Stale,
    /// The authorization layer's refusal.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A missing or malformed field.
    pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::Field { field, problem }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        use ErrorReason as R;
        let text = error.to_string();
        match error {
            Error::Field { field, problem } => {
                let mut errors = FieldErrors::default();
                errors.add(field, problem);
                status::invalid_fields(&errors)
            }
            Error::PageToken => status::refusal(Code::InvalidArgument, R::PageTokenInvalid, text),
            Error::NotFound => status::refusal(Code::NotFound, R::NotFound, text),
            Error::OtherEpoch => {
                status::refusal(Code::FailedPrecondition, R::PositionOfAnotherEpoch, text)
            }
            Error::LogWentBack(_) => status::refusal(Code::Unavailable, R::LogWentBack, text),
            Error::AcknowledgedNotSent => {
                status::refusal(Code::FailedPrecondition, R::AcknowledgedNotSent, text)
            }
            Error::Superseded => status::refusal(Code::Aborted, R::Superseded, text),
            Error::Stale => status::internal(),
            Error::Refused(refusal) => refusal.into(),
            Error::Store(error) => store_refusal(&error),
        }
    }
}
