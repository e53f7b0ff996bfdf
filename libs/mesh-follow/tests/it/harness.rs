//! A log with state behind it, a server that serves it, and a server that does as it is told.

mod following;
mod log;
mod parties;
mod script;
mod server;

pub(crate) use following::{Following, Record, place};
pub(crate) use log::{Gate, Items, TestLog, item};
pub(crate) use script::{Chain, Step, at_once, scripted};
pub(crate) use server::{Got, OTHER_CSP, Reader, TestServer, csp_party, pem, sequences};
