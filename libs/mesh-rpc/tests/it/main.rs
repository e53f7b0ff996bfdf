//! The chains through real sockets and mTLS.

#![cfg(test)]

mod certificates;
mod client;
mod denied;
mod drain;
mod harness;
mod limits;
mod order;
mod sharing;
mod telemetry;
