//! How long does a connection last, and how does it end?
//!
//! No longer than the certificates that were shown on it, by the timer that was taken at the
//! handshake and by the clock, and no longer than we accept what the peer showed. Whatever ends it,
//! its streams are told first.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::retire::{GRACE, lead};
use crate::standing::Standing;
use crate::tls::{Rejected, Shown, Tls};

/// So long before a connection is cut, what is left of its calls ends with a status.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// "Never", as far as timers go.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The term of one connection.
pub(super) struct Term {
    tls: Tls,
    shown: Shown,
    standing: Standing,
    /// How long before the end its calls are told.
    lead: Duration,
    /// When the timer says that it ends.
    end: Instant,
}

impl Term {
    /// Begins with the handshake, in which the peer showed this.
    pub(super) fn new(tls: Tls, shown: Shown, standing: Standing) -> Self {
        let remaining = shown.until().map_or(NEVER, |end| tls.remaining(end));
        let remaining = remaining.min(NEVER);
        Self {
            tls,
            shown,
            standing,
            lead: lead(remaining, rand::random()),
            end: Instant::now() + remaining,
        }
    }

    /// Tells the connection's calls when its end is near; resolves when it is to be cut.
    pub(super) async fn run(self) {
        let Self {
            tls,
            shown,
            standing,
            lead,
            end,
        } = self;
        let retires = tls.nears(&shown, lead);
        let mut rejected = std::pin::pin!(tls.rejected(shown));
        let early = tokio::select! {
            rejected = rejected.as_mut() => Some(rejected),
            () = retires => None,
            () = sleep_until(end - lead) => None,
        };
        standing.ending().begin();
        let rejected = match early {
            Some(rejected) => Some(rejected),
            None => tokio::select! {
                rejected = rejected => Some(rejected),
                () = sleep_until(end - LAST_WORDS.min(lead)) => None,
            },
        };
        let cut = match rejected {
            Some(rejected) => {
                standing.close();
                say(&rejected);
                end.min(Instant::now() + GRACE)
            }
            None => end,
        };
        sleep_until(cut - LAST_WORDS.min(lead)).await;
        standing.end_calls();
        sleep_until(cut).await;
    }
}

fn say(rejected: &Rejected) {
    match rejected {
        Rejected::Ended => tracing::info!("connection ends: {rejected}"),
        Rejected::Denied(_) | Rejected::Listed(_) | Rejected::Untrusted => {
            tracing::warn!(%rejected, "connection ends: its peer is accepted no more");
        }
    }
}
