//! Decides for each message whether it is delivered or suppressed.
//!
//! The rule is narrow: while a Device is flagged, messages whose content is energy drawn by the
//! premises are suppressed, and everything else is delivered, whoever asks. Everything in this crate
//! that decides is a pure function of (message, flag, policy).
//!
//! | question | module |
//! |---|---|
//! | what are the codes that messages are known by | [`codes`] |
//! | what does a decision need to know of a message | [`message`] |
//! | what does this DUIS document say | [`duis`] |
//! | what does this GBCS message say | [`gbcs`] |
//! | why can a message not be read | [`error`] |
//! | which rule belongs to which code, and is the policy safe | [`policy`] |
//! | is the message delivered | [`decide`] |
//! | where do messages for demonstrations, tests and benches come from | [`samples`] |
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

pub mod codes;
pub mod decide;
pub mod duis;
pub mod error;
pub mod gbcs;
pub mod message;
pub mod policy;
pub mod samples;

#[cfg(test)]
mod tests;
