//! What the process of every service shares: settings, start and end, health, what operators learn of
//! it, the store's refusals.
//!
//! A service's `main` parses its settings, of which [`ProcessSettings`] are a part, and hands
//! [`process`] what to run. Nothing here knows a particular service.

mod allocator;
mod background;
mod clock;
mod error;
mod operations;
mod process;
mod settings;
mod state;
mod storage;

pub use background::{Background, understood, usable, watch_health};
pub use clock::{exchange_time, machine_clock, recording, watch_clock};
pub use error::{RunError, store_refusal};
pub use operations::{OPERATIONS, Operations};
pub use process::process;
pub use settings::{DatabaseSettings, ProcessSettings};
pub use state::watch_state;
pub use storage::watch_storage;
