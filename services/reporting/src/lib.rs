//! Outcomes in, performance and obligation reports out.
//!
//! | RPC | Who | Beside the refusals of the chain |
//! |---|---|---|
//! | RecordOutcomes | the DSP | `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `ALREADY_EXISTS`, `UNAVAILABLE` |
//! | GetServiceRequestReport | a supplier its own, internal readers all | `INVALID_ARGUMENT`, `UNAVAILABLE`, `NOT_FOUND` |
//! | ListExceptedRequests | a supplier its own, internal readers all | `INVALID_ARGUMENT`, `UNAVAILABLE`, `NOT_FOUND` |
//! | CloseMonth | the operator | `INVALID_ARGUMENT`, `FAILED_PRECONDITION` |
//! | ListEditions | internal readers | `INVALID_ARGUMENT` |
//! | ExportEdition | internal readers | `INVALID_ARGUMENT`, `NOT_FOUND` |
//! | GetObligationReport | a supplier its own, internal readers all | `INVALID_ARGUMENT`, `UNAVAILABLE` |
//! | GetFlagReport | a supplier its own, internal readers all | `INVALID_ARGUMENT`, `UNAVAILABLE` |
//!
//! The reports are also pages for browsers: [`web`].
//!
//! # Invariants
//!
//! - A page shows what its RPC answers to the peer of the browser's connection, and nothing else.
//! - An outcome is recorded once, however often it is sent: by the number of its request, or by its id for 35
//!   days. It is counted, and never changed.
//! - Whether an outcome is excepted is decided by the flag at the time of the request. Until all flag events of
//!   that time are known, each report decides anew; then it is settled. So the order in which outcomes and flag
//!   events arrive does not matter.
//! - What a flag event says of a time that has passed changes nothing: an interval begins and ends
//!   when its events were recorded.
//! - Nothing is subtracted silently: each figure has all requests, the excepted ones, and the rate
//!   both ways.
//! - An edition of a month never changes, whatever is recorded later: its content has the same hash whenever and
//!   on whichever engine it is read. What comes later is in no edition until it is in a restatement.
//! - A flag counts for one supplier and CSP at a time: what came to them and what went is what they have.
//! - However figures are grouped, their sums are the same: a variant that the table of business
//!   processes does not list is shown as `other`.
//! - A report says what it rests on, and its parts are read in one transaction.
//! - The domain ([`outcome`], [`month`], [`period`], [`exception`], [`figures`], [`business_process`], [`grouping`],
//!   [`edition`], [`flags`], [`movement`], [`obligation`]) reads no clock and does no I/O.

pub mod business_process;
mod closing;
pub mod config;
pub mod edition;
pub mod error;
pub mod exception;
pub mod figures;
pub mod flags;
pub mod follow;
pub mod grouping;
pub mod grpc;
mod intake;
pub mod month;
pub mod movement;
pub mod obligation;
pub mod outcome;
mod paging;
pub mod period;
pub mod present;
mod process;
pub mod request;
mod serve;
pub mod store;
pub mod web;
pub mod wire;

pub use mesh_service::RunError;
pub use process::process;
pub use serve::{Deps, SERVICE, run, run_with_pages};
pub use store::MIGRATIONS;
