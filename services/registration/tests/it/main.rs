//! The whole service over real sockets with real certificates.
#![cfg(test)]

mod as_of;
mod audit;
mod authority;
mod bounds;
mod devices;
mod follow;
mod import;
mod leases;
mod parties;
mod process;
mod withdrawals;
mod world;
