//! The flag of each Device, the choice behind it, and the log of every change.
//!
//! | RPC | Who | Beside the refusals of the chain |
//! |---|---|---|
//! | AddFlag, RemoveFlag, RecordTenancyChange | the Responsible Supplier | `FAILED_PRECONDITION`, `INVALID_ARGUMENT`, `ALREADY_EXISTS`, `ABORTED`, `UNAVAILABLE`, `RESOURCE_EXHAUSTED` |
//! | BatchAddFlags, BatchRemoveFlags | the Responsible Supplier, request by request | `INVALID_ARGUMENT`, `UNAVAILABLE`; of a request the same as of AddFlag |
//! | NoteTenancyRestriction | the DSP | `INVALID_ARGUMENT`, `ALREADY_EXISTS` |
//! | GetFlag, BatchGetFlags | the Responsible Supplier, internal readers | `INVALID_ARGUMENT`, `OUT_OF_RANGE` |
//! | ListFlags | a supplier its own, internal readers all | `INVALID_ARGUMENT`, `OUT_OF_RANGE` |
//! | ListFlagEvents | the Responsible Supplier, operators, auditors | `INVALID_ARGUMENT`, `OUT_OF_RANGE` |
//! | FollowFlags | the services downstream, auditors | `FAILED_PRECONDITION`, `OUT_OF_RANGE` |
//!
//! # Invariants
//!
//! - An entry is the fold of the events about its Device. Nothing but an event changes one, and no
//!   event is ever changed.
//! - A write rests on facts that are not older than anything the log `flags` shows: see
//!   [`store`].
//! - Supplier, hub and coverage of every Device with a history are followed, flagged or not: see
//!   [`lifecycle`].
//! - A caller that is permitted by its role alone can have a supplier asked for a review, and change
//!   nothing: see [`restriction`].
//! - Nobody fills the log in a loop, and nobody's loop keeps a consumer from refusing: see [`quota`].
//! - The domain ([`flag`], [`past`], [`decide`], [`preconditions`], [`quota`], [`lifecycle`],
//!   [`restriction`]) reads no clock, draws no lots and does no I/O.

pub mod config;
pub mod decide;
pub mod error;
pub mod facts;
pub mod flag;
pub mod follow;
pub mod grpc;
pub mod lifecycle;
pub mod metrics;
mod paging;
pub mod past;
pub mod preconditions;
pub mod preference;
mod process;
pub mod quota;
pub mod request;
pub mod restriction;
mod serve;
pub mod store;
mod suppliers;
#[cfg(test)]
mod tests;
pub mod wire;

pub use mesh_service::RunError;
pub use process::process;
pub use quota::Quotas;
pub use serve::{Deps, SERVICE, run};
pub use store::{MIGRATIONS, foldings};
