//! The service as its callers see it: over a socket, with mTLS, beside a small registration.

#![cfg(test)]

mod as_of;
mod audit;
mod bulk;
mod changes;
mod follow;
mod lifecycle;
mod outage;
mod quotas;
mod races;
mod reads;
mod refusals;
mod registration;
mod restriction;
mod state;
mod trace;
mod world;
