//! Each CSP's own ordered, durable, resumable stream of flag changes.
//!
//! The log `flags` is followed from its first event and projected into one log per CSP: what
//! concerns Devices on its hubs and nothing else, with a sequence and a hash chain of its own. A
//! CSP attaches to its durable subscription, applies what it is sent, and acknowledges.
//!
//! | RPC | Who may call | Reasons of its own refusals |
//! |---|---|---|
//! | `FollowFlagChanges` | the CSP | `LOG_WENT_BACK`, `POSITION_OF_ANOTHER_EPOCH`, `POSITION_NOT_REACHED`, `READER_TOO_SLOW`, `SUPERSEDED` |
//! | `AcknowledgeFlagChanges` | the CSP | `LOG_WENT_BACK`, `POSITION_OF_ANOTHER_EPOCH`, `ACKNOWLEDGED_NOT_SENT` |
//! | `GetSubscription` | the CSP; operators, auditors, analysts | `NOT_FOUND` |
//! | `ListSubscriptions` | operators, auditors, analysts | `PAGE_TOKEN_INVALID` |
//! | `GetDeliveryReport` | the CSP; operators, auditors, analysts | `PAGE_TOKEN_INVALID`, `NOT_FOUND` |
//!
//! # Invariants
//!
//! - What a CSP was told in all adds up to the flagged Devices on its hubs, at every event.
//! - Events, reduced Devices and the place in `flags` move in one transaction.
//! - An event is recorded as sent before it leaves; nothing else can be acknowledged.
//! - A CSP whose log lacks what it has seen is sent nothing; nobody else is concerned.
//! - How long a change took is counted once, in the transaction that acknowledges it.
//! - A CSP is known by its certificate alone; what it writes and reads is about itself.
//! - Neither the consumer's choice nor the supplier's evidence is ever read.
//!
//! | Question | File |
//! |---|---|
//! | who is told what? | `project.rs` |
//! | what is a CSP told after a new history of `flags`? | `resync.rs` |
//! | how far is a CSP? | `subscription.rs` |
//! | how promptly does a CSP take changes over? | `promptness.rs` |
//! | what is kept, and what is written together? | `store.rs`, `store/` |
//! | does flag-registry still tell us everything? | `source.rs` |
//! | how do events get here? | `follower.rs` |
//! | what does an operator learn of CSPs whose logs went back? | `disputes.rs` |
//! | which stream is a CSP's own? | `attachments.rs` |
//! | what happens to a frame on its way out? | `delivery.rs` |

mod attachments;
pub mod config;
mod delivery;
mod disputes;
mod error;
mod follower;
mod grpc;
mod lag;
mod process;
pub mod project;
mod promptness;
pub mod resync;
mod serve;
mod source;
mod store;
mod subscription;

pub use mesh_service::RunError;
pub use process::process;
pub use serve::{Deps, SERVICE, run};
pub use store::{MIGRATIONS, foldings};
