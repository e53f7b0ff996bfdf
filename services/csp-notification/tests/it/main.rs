//! The whole service through real sockets and mTLS, between a flag registry and a registration that
//! the tests play.

#![cfg(test)]

mod attaching;
mod disputes;
mod ends;
mod history;
mod neighbours;
mod projecting;
mod promptness;
mod replicas;
mod resync;
mod stale;
mod state;
mod stream;
mod subscriptions;
mod trace;
mod world;
