//! A journal for tests that are about something else.

use mesh_types::{Clock as _, SystemClock, Timestamp};

use crate::tls::Exchanged;

use super::{Admission, Counted, Entry, Journal, Recording, Ticket};

/// Keeps nothing. For tests only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unrecorded;

impl Journal for Unrecorded {
    fn recording(&self, _: &str) -> Recording {
        Recording::Counted
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn admit(&self) -> Option<Admission> {
        None
    }

    fn enter(&self, _: Entry) -> Ticket {
        Ticket(0)
    }

    fn on_disk(&self, _: Ticket) -> Admission {
        Box::pin(std::future::ready(Ok(())))
    }

    fn exchanged(&self, _: &Exchanged) {}

    fn count(&self, _: Counted, _: u64, _: u64) {}
}
