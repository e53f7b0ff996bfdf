//! The readers and the policy against public test data, and the service as its callers see it: over
//! a socket, with mTLS, beside a small flag registry and a small registration.

#![cfg(test)]

mod flags;
mod messages;
mod rtds;
mod rules;
mod stream;
mod trace;
mod upstream;
mod world;
