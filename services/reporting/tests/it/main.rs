//! The service `reporting` through a real socket and mTLS, with small owners of the logs that it
//! follows.

#![cfg(test)]

mod excepted;
mod following;
mod grouping;
mod intake;
mod month;
mod reading;
mod state;
mod upstream;
mod world;
