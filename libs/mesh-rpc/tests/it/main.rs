//! The chains through real sockets and mTLS.

#![cfg(test)]

mod audit;
mod certificates;
mod client;
mod clock;
mod crls;
mod cut_off;
mod denied;
mod door;
mod drain;
mod ending;
mod harness;
mod limits;
mod log;
mod order;
mod protocol;
mod replicas;
mod sharing;
mod standard;
mod telemetry;
