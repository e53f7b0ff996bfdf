//! What the process of every service shares: settings, start and end, health, what operators learn of
//! it, the store's refusals.
//!
//! A service names the type of its settings, of which [`ProcessSettings`] are a part, and hands
//! [`process`] what to run: what every service has, the [`Base`], with what is its own on it. Nothing
//! here knows a particular service.

mod allocator;
mod background;
mod base;
mod check;
mod clock;
mod config;
mod error;
mod misuse;
mod nearest;
mod operations;
mod probe;
mod process;
mod settings;
mod state;
mod storage;

pub use background::usable;
pub use base::{Base, Given, Storage};
pub use clock::machine_clock;
pub use error::{RunError, store_refusal};
pub use nearest::nearest;
pub use operations::{OPERATIONS, comparison_to_wire};
pub use process::process;
pub use settings::{
    DatabaseSettings, LogLines, ProcessSettings, TelemetryDetails, TelemetrySettings, database_url,
    service_address,
};
