//! The record of calls, in a real database.

#![cfg(test)]

mod failing;
mod keeping;
mod size;
mod world;
