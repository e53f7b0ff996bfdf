//! End-to-end journeys over real sockets and mTLS.

#![cfg(test)]

mod authorization;
mod bad_input;
mod business_processes;
mod change_of_supplier;
mod circles;
mod clocks;
mod closed_months;
mod compose;
mod contracts;
mod database_away;
mod downstream;
mod engine;
mod handshakes;
mod journey;
mod lost_state;
mod mesh;
mod model;
mod process;
mod recordings;
mod reference_messages;
mod released;
mod replicas;
mod requests;
mod rotation;
mod storm;
mod tape;
mod tidy;
mod writers;
