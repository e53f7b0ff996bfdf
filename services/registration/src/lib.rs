//! Parties, Devices and who is the Responsible Supplier of a Device at a time.
//!
//! | RPC | Who | Refused with |
//! |---|---|---|
//! | `PutParty`, `PutDevice`, `ChangeSupplier`, `WithdrawRegistration`, `ImportInventory` | operator, registration data | `INVALID_ARGUMENT`, `ALREADY_EXISTS` (request id reused), `ABORTED` (etag), `FAILED_PRECONDITION` (contradicts the record, overlap, begun), `NOT_FOUND` (what is withdrawn) |
//! | `SetPartyStatus` | operator | the same, and `NOT_FOUND` |
//! | `GetParty`, `ListParties`, `GetDevice`, `ListDevices`, `ListRegistrations` | internal readers; a party reads itself, a Responsible Supplier its Devices | `NOT_FOUND`, `INVALID_ARGUMENT` (page token, as of what is not over), `OUT_OF_RANGE` (position not reached) |
//! | `GetAuthority`, `BatchGetAuthority` | services, operator, auditor | `OUT_OF_RANGE` (position not reached) |
//! | `GetAuthorityForParties` | services | `INVALID_ARGUMENT` (too many) |
//! | `FollowParties`, `FollowDevices` | services, auditor | `FAILED_PRECONDITION` (position of another epoch) |
//!
//! # Invariants
//!
//! - Registrations of one MPxN never overlap; that is decided under the lock on the log's head.
//! - What a registration brings about is logged once, when it takes effect, whichever replica's
//!   transaction comes first; before it, no event of a later time is logged.
//! - Every row holds from one position of its log up to another, so that reads, snapshots and lists
//!   at a position agree without a transaction that spans them.
//! - Who is responsible follows registrations and nothing else.
//! - Whoever is told that a supplier has lost a Device can rely on it: a lease of that supplier has
//!   ended by then.
//!
//! Domain rules stand in [`party`], [`device`], [`supply`] and [`authority`]: pure functions of
//! what they are given. `store` reads and writes, `grpc` answers, [`error`] maps refusals.

pub mod authority;
pub mod config;
pub mod contradiction;
pub mod device;
mod directory;
pub mod error;
mod grpc;
mod leases;
pub mod party;
mod present;
pub mod problem;
mod process;
mod serve;
mod store;
pub mod supply;
mod ticker;
mod wire;

pub use mesh_service::RunError;
pub use process::process;
pub use serve::{Deps, SERVICES, run};
pub use store::{MIGRATIONS, foldings};
pub use wire::refusal_of_row;
