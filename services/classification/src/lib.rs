//! Decides for each message whether it is delivered or suppressed.
//!
//! | RPC | Who | Beside the refusals of the chain |
//! |---|---|---|
//! | Classify, BatchClassify, ClassifyStream | the DSP, operators | `INVALID_ARGUMENT`, `UNAVAILABLE`, `FAILED_PRECONDITION`, `OUT_OF_RANGE` |
//! | ListRules | the DSP, operators, analysts, auditors | `INVALID_ARGUMENT` |
//!
//! # Invariants
//!
//! - A message whose verdict does not depend on a flag never waits for one, and is answered before
//!   the flags are loaded too.
//! - All decisions of one answer rest on the flags at one position, which stands in the answer.
//! - Answers never wait for the follower, nor the follower for answers: see [`flags`].
//! - Nothing of a message's content is kept, logged or sent back.
//!
//! # What decides
//!
//! The rule is narrow: while a Device is flagged, messages whose content is energy drawn by the
//! premises are suppressed, and everything else is delivered, whoever asks. Everything in this crate
//! that decides is a pure function of (message, flag, policy).
//!
//! | question | module |
//! |---|---|
//! | what are the codes that messages are known by | [`codes`] |
//! | what does a decision need to know of a message | [`message`] |
//! | what does a caller say that has read the message itself | [`structured`] |
//! | what does this DUIS document say | [`duis`] |
//! | what does this GBCS message say | [`gbcs`] |
//! | why can a message not be read | [`error`] |
//! | which rule belongs to which code, and is the policy safe | [`policy`] |
//! | is the message delivered | [`decide`] |
//! | where do messages for demonstrations, tests and benches come from | [`samples`] |
//! | which Devices are flagged, and how present is that | [`flags`], [`follow`] |
//! | how does a request become an answer | [`request`], [`classify`], [`wire`], [`grpc`] |
//! | what is it called in the contract | [`terms`] |
//! | why is a call refused | [`problem`] |
//!
//! A caller judges a message first, and looks up flags only where the verdict depends on one:
//!
//! ```
//! use classification::decide::{Flag, Judgement, Verdict};
//! use classification::message::DeviceType;
//! use classification::policy::Policy;
//! use classification::{duis, samples};
//! use mesh_types::{DeviceId, Eui64};
//!
//! let policy = Policy::builtin();
//! let supplier: Eui64 = "90-B3-D5-1F-30-01-00-00".parse()?;
//! let meter: DeviceId = "00-DB-12-34-56-78-90-A0".parse()?;
//! let text = samples::duis_request(&policy, "4.8.1".parse()?, supplier, meter, 1000)
//!     .ok_or("4.8.1 is in the table")?;
//!
//! let message = duis::read(&policy, text.as_bytes())?;
//! let decision = match policy.judge(&message) {
//!     Judgement::Final(decision) => decision,
//!     Judgement::DependsOnFlag(pending) => {
//!         pending.decide(|device| (device == meter).then_some(Flag { device_type: DeviceType::Esme }))
//!     }
//! };
//! assert_eq!(decision.verdict, Verdict::Suppress);
//! assert_eq!(&*decision.rule.id, "consumption.profile-active");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod classify;
pub mod codes;
pub mod config;
pub mod decide;
pub mod duis;
pub mod error;
pub mod flags;
pub mod follow;
pub mod gbcs;
pub mod grpc;
pub mod message;
pub mod metrics;
pub mod policy;
pub mod problem;
mod process;
pub mod request;
pub mod samples;
mod serve;
pub mod structured;
pub mod terms;
pub mod wire;

pub use mesh_service::RunError;
pub use process::process;
pub use serve::{Deps, SERVICE, run};

#[cfg(test)]
mod tests;
