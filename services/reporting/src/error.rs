//! Why does the service refuse, and how does the caller learn of it?

use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::FieldErrors;
use mesh_api::status;
use mesh_authz::Refusal;
use mesh_service::store_refusal;
use mesh_store::StoreError;
use tonic::{Code, Status};

use mesh_types::Timestamp;

use crate::store::{Misnumbered, NotBegun};

/// The most outcomes in one request of a stream.
pub const MAX_OUTCOMES: usize = 1_000;

/// Every way in which the service refuses a call, or one outcome of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("fields are missing or malformed")]
    Fields(FieldErrors),
    /// The authorization layer's own refusals, found while a stream was under way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A request holds too many outcomes.
    #[error("a request holds at most {MAX_OUTCOMES} outcomes; those of earlier requests are kept")]
    TooManyOutcomes,
    /// The producer used the id for another outcome.
    #[error("the producer used this id before for an outcome with another content")]
    OutcomeIdReused,
    /// A numbered batch is not the next one.
    #[error("the next batch of this producer is number {next}; nothing of this one was recorded")]
    BatchOutOfOrder {
        /// The number of the next batch.
        next: u64,
    },
    /// The number of the last batch came with another content.
    #[error("the producer used this number before for a batch with another content")]
    BatchNumberReused,
    /// A month is closed too early.
    #[error("{}", not_settled(.0.as_ref()))]
    MonthNotSettled(Option<Timestamp>),
    /// An edition is not the next one of its month.
    #[error("the month's next edition is number {next}")]
    EditionOutOfOrder {
        /// The number of the next one.
        next: u32,
    },
    /// A restatement would say nothing new.
    #[error("nothing was recorded that the month's last edition does not have")]
    NothingToRestate,
    /// The month has no such edition.
    #[error("the month has no such edition")]
    NoEdition,
    /// The page token is not ours, not the caller's, or not for this request.
    #[error("the page token was not given to this caller for this request")]
    PageToken,
    /// A report would rest on nothing.
    #[error("the flags and Devices that reports rest on have not been followed yet")]
    NotFollowedYet,
    /// A month has ended, and the logs are not known up to its end.
    #[error("the flags and Devices are not known yet up to the end of the month")]
    MonthNotKnownYet,
    /// The service stops while outcomes arrive.
    #[error(
        "the service is stopping or closes the connection; send the stream again from the start, or go on behind the last numbered request"
    )]
    Draining,
    /// The caller's stream broke off.
    #[error("the stream of outcomes broke off")]
    BrokenOff(Box<Status>),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Misnumbered> for Error {
    fn from(misnumbered: Misnumbered) -> Self {
        match misnumbered {
            Misnumbered::Missing { next } | Misnumbered::Without { next } => {
                Self::BatchOutOfOrder { next }
            }
            Misnumbered::Reused => Self::BatchNumberReused,
        }
    }
}

impl From<NotBegun> for Error {
    fn from(why: NotBegun) -> Self {
        match why {
            NotBegun::NotSettled { settled_until } => Self::MonthNotSettled(settled_until),
            NotBegun::NotNext { next } => Self::EditionOutOfOrder { next },
            NotBegun::NothingNew => Self::NothingToRestate,
        }
    }
}

fn not_settled(until: Option<&Timestamp>) -> String {
    let until = until.and_then(|at| jiff::Timestamp::from_microsecond(at.micros()).ok());
    let until = until.map_or_else(|| "nothing".to_owned(), |at| format!("what is before {at}"));
    format!("the month cannot be closed yet: of its flags {until} is settled")
}

impl From<Error> for Status {
    /// The one mapping to gRPC code and reason.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Fields(errors) => status::invalid_fields(&errors),
            Error::Refused(refusal) => refusal.into(),
            Error::TooManyOutcomes => {
                status::refusal(Code::InvalidArgument, ErrorReason::TooManyItems, text)
            }
            Error::BatchOutOfOrder { next } => status::refusal_with(
                Code::FailedPrecondition,
                ErrorReason::BatchOutOfOrder,
                text,
                &[("next_batch_number", &next.to_string())],
            ),
            Error::OutcomeIdReused | Error::BatchNumberReused => {
                status::refusal(Code::AlreadyExists, ErrorReason::RequestIdReused, text)
            }
            Error::MonthNotSettled(_) => {
                status::refusal(Code::FailedPrecondition, ErrorReason::MonthNotSettled, text)
            }
            Error::EditionOutOfOrder { next } => status::refusal_with(
                Code::FailedPrecondition,
                ErrorReason::EditionOutOfOrder,
                text,
                &[("next_restatement", &next.to_string())],
            ),
            Error::NothingToRestate => status::refusal(
                Code::FailedPrecondition,
                ErrorReason::EditionOutOfOrder,
                text,
            ),
            Error::NoEdition => status::refusal(Code::NotFound, ErrorReason::NotFound, text),
            Error::PageToken => {
                status::refusal(Code::InvalidArgument, ErrorReason::PageTokenInvalid, text)
            }
            Error::NotFollowedYet | Error::MonthNotKnownYet => {
                status::refusal(Code::Unavailable, ErrorReason::FlagsNotLoaded, text)
            }
            Error::Draining => status::refusal(Code::Unavailable, ErrorReason::Draining, text),
            Error::BrokenOff(status) => *status,
            Error::Store(error) => store_refusal(&error),
        }
    }
}
