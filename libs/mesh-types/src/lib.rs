//! The field's identifiers, times and log positions as types that cannot be wrong.
//!
//! Everything a peer sends is parsed once, at the edge, into one of these. The crate knows no
//! tokio, no tonic and no sqlx, reads no clock of its own accord and depends on no other crate of
//! this project.

pub mod belief;
mod bounds;
pub mod chain;
mod clock;
mod eui64;
mod mpxn;
mod names;
mod position;
mod request_id;
pub mod text;
mod time;
pub mod watch;
mod watched;

pub use belief::Doubt;
pub use bounds::{Bounds, OutOfBounds};
pub use clock::{Clock, ManualClock, SystemClock};
pub use eui64::{DeviceId, EntityId, Eui64, Eui64Error};
pub use mpxn::{Mpan, Mprn, Mpxn, MpxnError};
pub use names::{CspId, NameError, PartyId};
pub use position::{Epoch, LogName, LogNameError, Position, Sequence};
pub use request_id::{RequestId, RequestIdError};
pub use text::Text;
pub use time::{Interval, IntervalError, Timestamp};
pub use watch::ClockWatch;
pub use watched::{LikelyClock, WatchedClock};
