//! Logs served and followed through real sockets.

#![cfg(test)]

mod directory;
mod feed;
mod follower;
mod harness;
mod limits;
mod witness;
