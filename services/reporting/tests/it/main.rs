//! The service `reporting` through a real socket and mTLS, with small owners of the logs that it
//! follows.

#![cfg(test)]

mod browser;
mod closed;
mod excepted;
mod flags;
mod following;
mod grouping;
mod intake;
mod month;
mod month_ends;
mod pages;
mod reading;
mod settled;
mod state;
mod upstream;
mod world;
