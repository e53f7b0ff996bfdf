//! The command, as a person or a script runs it, against a mesh that runs.

#![cfg(test)]

mod log;
mod world;
