//! The rules, without a store or a socket.

mod decisions;
pub(crate) mod fixtures;
mod history;
mod lifecycle;
mod past;
mod preconditions;
mod quotas;
mod redaction;
mod requests;
mod restriction;
