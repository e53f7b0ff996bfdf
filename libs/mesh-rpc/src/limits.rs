//! How much does one server take on, from everybody together?
//!
//! Three limits that need not know the caller, and so stand before the certificate is looked at:
//! calls at a time, time per call, and octets per message.

mod concurrency;
mod deadline;
mod message_size;

use std::time::Duration;

use tower::Layer;

pub use deadline::remaining;
pub(crate) use deadline::{GRPC_TIMEOUT, timeout_of};

pub(crate) use concurrency::{HEALTH_CHECK, hold};

use concurrency::{Concurrency, Slots};
use deadline::Deadline;
use message_size::MessageSize;

/// What one server takes on. The defaults are generous for one of the mesh's services on two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalLimits {
    /// Unary calls served at a time; further ones are shed with `RESOURCE_EXHAUSTED`.
    pub unary_calls: usize,
    /// Streaming calls open at a time. A bound of its own: long streams never starve unary calls.
    pub streams: usize,
    /// Deadline of a unary call, and of a stream's first answer, if the caller gives none.
    pub default_deadline: Duration,
    /// Longest deadline of a unary call, whatever the caller gives.
    pub longest_deadline: Duration,
    /// Deadline of a client stream that is answered at its end, if the caller gives none.
    pub upload_deadline: Duration,
    /// Largest message of a request, in octets, unless the contract of the method says otherwise.
    pub message_octets: usize,
    /// Connections at a time whose peers have not said who they are, in their handshake or without
    /// a certificate. When one more comes, the oldest of them goes.
    pub guests: usize,
}

impl Default for GlobalLimits {
    fn default() -> Self {
        Self {
            unary_calls: 1024,
            streams: 1024,
            default_deadline: Duration::from_secs(10),
            longest_deadline: Duration::from_secs(60),
            upload_deadline: Duration::from_secs(15 * 60),
            message_octets: 4 * 1024 * 1024,
            guests: 256,
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
            slots: Slots::new(&limits),
        }
    }
}

/// The service of [`GlobalLimitsLayer`]: slots, then time, then size, outermost first.
pub(crate) type Limited<S> = Concurrency<Deadline<MessageSize<S>>>;

impl<S> Layer<S> for GlobalLimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        let sized = MessageSize::new(inner, self.limits.message_octets);
        Concurrency::new(Deadline::new(sized, self.limits), self.slots.clone())
    }
}
