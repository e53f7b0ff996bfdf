//! The command as people and scripts use it: the real program, run against the real mesh.

#![cfg(test)]

mod as_of;
mod backup;
mod certificates;
mod classify;
mod clerk;
mod demo;
mod doctor;
mod examples;
mod exit_codes;
mod hostile;
mod load;
mod log;
mod moving;
mod names;
mod outcomes;
mod pages;
mod prepare;
mod report;
mod revoke;
mod sample;
mod server;
mod snippets;
mod watch;
mod web;
mod world;
