//! Why can a service not start, and what does a caller learn when its store fails?

use std::net::SocketAddr;
use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status;
use mesh_audit::RecordingError;
use mesh_authz::RuleError;
use mesh_rpc::ServeError;
use mesh_store::StoreError;
use tonic::{Code, Status};

/// What a caller is told to wait while too many writes wait.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Why a service could not start. What stands behind it is its source, and is not said twice.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The database of the audit cannot be used.
    #[error("the audit database cannot be used")]
    Audit(#[source] StoreError),
    /// The contracts do not say of a method how its calls are put on record.
    #[error("the contracts' recordings cannot be used")]
    Recordings(#[from] RecordingError),
    /// The contracts lack a rule, or have one that cannot be carried out.
    #[error("the contracts' rules cannot be used")]
    Rules(#[from] RuleError),
    /// A further listener cannot be opened.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The server cannot be built.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The refusal of a call that the store failed. What the driver said stays in the log.
#[must_use]
pub fn store_refusal(error: &StoreError) -> Status {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, source, "the store failed a call");
    match error {
        StoreError::Busy => status::try_later(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "too many writes are waiting",
            RETRY_AFTER,
        ),
        StoreError::TooLate => status::try_later(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "writes take too long",
            RETRY_AFTER,
        ),
        StoreError::Stopped => status::refusal(
            Code::Unavailable,
            ErrorReason::Draining,
            "the service is stopping",
        ),
        StoreError::WentBack { .. } => status::refusal(
            Code::Unavailable,
            ErrorReason::LogWentBack,
            "a log went back behind what was seen of it; nothing is written until an operator decides",
        ),
        StoreError::ClockNotBelieved(doubt) => status::refusal(
            Code::Unavailable,
            ErrorReason::ClockNotBelieved,
            format!("nothing is recorded: {doubt}"),
        ),
        error if error.is_transient() => status::refusal(
            Code::Unavailable,
            ErrorReason::StorageUnavailable,
            "the storage does not answer",
        ),
        _ => status::internal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_store_says_whether_to_try_again_and_nothing_of_the_driver() {
        for (error, code, reason) in [
            (
                StoreError::Busy,
                Code::ResourceExhausted,
                ErrorReason::Overloaded,
            ),
            (
                StoreError::TooLate,
                Code::ResourceExhausted,
                ErrorReason::Overloaded,
            ),
            (
                StoreError::Stopped,
                Code::Unavailable,
                ErrorReason::Draining,
            ),
            (
                StoreError::WentBack {
                    log: "flags".parse().unwrap(),
                },
                Code::Unavailable,
                ErrorReason::LogWentBack,
            ),
            (
                StoreError::InTrouble(mesh_store::Trouble::FileGone),
                Code::Unavailable,
                ErrorReason::StorageUnavailable,
            ),
            (
                StoreError::ClockNotBelieved(mesh_types::Doubt::SetAhead(RETRY_AFTER)),
                Code::Unavailable,
                ErrorReason::ClockNotBelieved,
            ),
            (StoreError::Panicked, Code::Internal, ErrorReason::Internal),
            (
                StoreError::inconsistent("flag", "a secret of the table"),
                Code::Internal,
                ErrorReason::Internal,
            ),
        ] {
            let refusal = store_refusal(&error);
            assert_eq!(
                (refusal.code(), status::reason_of(&refusal)),
                (code, Some(reason))
            );
            assert!(!refusal.message().contains("secret"));
        }
    }
}
