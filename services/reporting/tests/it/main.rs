//! The service `reporting` through a real socket and mTLS, with small owners of the logs that it
//! follows.

#![cfg(test)]

mod following;
mod intake;
mod month;
mod reading;
mod state;
mod upstream;
mod world;
