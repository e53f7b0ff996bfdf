//! How much does one server take on, from everybody together?
//!
//! Three limits: calls at a time, by class of callers and by caller; time per call; octets per
//! message. Which class it is the connection knows, whatever the identity layer makes of it.

mod concurrency;
mod deadline;
mod message_size;
mod places;
mod shares;

use std::time::Duration;

use tower::Layer;

pub use deadline::remaining;
pub(crate) use deadline::{GRPC_TIMEOUT, timeout_of};

pub(crate) use concurrency::{hold, is_health_check};
pub(crate) use places::{Caller, Full, Place, Places};
pub(crate) use shares::Class;
pub use shares::{Bound, Share, Shares};

use concurrency::{Concurrency, Slots};
use deadline::Deadline;
use message_size::MessageSize;

/// What one server takes on. The defaults are generous for one of the mesh's services on two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalLimits {
    /// What each class of callers has of it.
    pub shares: Shares,
    /// Deadline of a unary call, and of a stream's first answer, if the caller gives none.
    pub default_deadline: Duration,
    /// Longest deadline of a unary call, whatever the caller gives.
    pub longest_deadline: Duration,
    /// Deadline of a client stream that is answered at its end, if the caller gives none.
    pub upload_deadline: Duration,
    /// Largest message of a request, in octets, unless the contract of the method says otherwise.
    pub message_octets: usize,
    /// Connections at a time in each of the three stages of their handshake: without a ClientHello,
    /// with one that has not been answered, and with an answer. When one more comes, the oldest goes
    /// of the address that has most. Fewer where the process may have few files open.
    pub newcomers: usize,
    /// Connections at a time whose peers are through their handshake and have not said who they are.
    /// When one more comes, the oldest goes of the address that has most.
    pub guests: usize,
}

impl Default for GlobalLimits {
    fn default() -> Self {
        let shares = Shares::default();
        Self {
            shares,
            default_deadline: Duration::from_secs(10),
            longest_deadline: Duration::from_secs(60),
            upload_deadline: Duration::from_secs(15 * 60),
            message_octets: 4 * 1024 * 1024,
            newcomers: 1_024,
            guests: shares.guests.connections.class,
        }
    }
}

/// Keeps a server within its [`GlobalLimits`].
#[derive(Debug, Clone)]
pub(crate) struct GlobalLimitsLayer {
    limits: GlobalLimits,
    slots: Slots,
}

impl GlobalLimitsLayer {
    /// One budget, shared by all connections of a server.
    pub(crate) fn new(limits: GlobalLimits) -> Self {
        Self {
            limits,
            slots: Slots::new(&limits.shares),
        }
    }
}

/// The service of [`GlobalLimitsLayer`]: places, then time, then size, outermost first.
pub(crate) type Limited<S> = Concurrency<Deadline<MessageSize<S>>>;

impl<S> Layer<S> for GlobalLimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        let sized = MessageSize::new(inner, self.limits.message_octets);
        Concurrency::new(Deadline::new(sized, self.limits), self.slots.clone())
    }
}
