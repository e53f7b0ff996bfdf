//! Is a clock that is ahead believed?
//!
//! The rule, as a pure function: what a clock shows is judged by its own history and by the clocks of
//! the other services. See `docs/adr/2026-11-28-a-clock-ahead-is-not-believed.md`.

use std::time::Duration;

/// A clock may be ahead by so much. Machines that keep time together differ by milliseconds, and what
/// is recorded half a minute early misleads nobody; a shorter bound would stop a service for a slow
/// peer or a leap second that is smeared.
pub const MOST_AHEAD: Duration = Duration::from_secs(30);
/// After a reboot nothing measures how long the machine was off: so much is believed. A night and a
/// day of maintenance; whoever was off for longer has peers that know, or an operator.
pub const MOST_UNEXPLAINED: Duration = Duration::from_hours(24);

/// Why a clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Most of the other services' clocks are behind it.
    #[error("the clock is {} seconds ahead of most other services' clocks", .0.as_secs())]
    AheadOfPeers(Duration),
    /// It was set ahead while the service ran, and the others' clocks do not confirm it.
    #[error("the clock was set {} seconds ahead", .0.as_secs())]
    SetAhead(Duration),
    /// It is further ahead of the last time at which the database was in use than is explained.
    #[error("the clock is {} seconds ahead of what the time since the last start explains", .0.as_secs())]
    AheadOfLastLife(Duration),
    /// What is recorded last has a time that is still to come.
    #[error("the log has events of a time that is {} seconds ahead of the clock", .0.as_secs())]
    LogAhead(Duration),
}

impl Doubt {
    /// By how much the clock is probably ahead.
    #[must_use]
    pub const fn ahead(&self) -> Duration {
        match self {
            Self::AheadOfPeers(ahead) | Self::SetAhead(ahead) | Self::AheadOfLastLife(ahead) => {
                *ahead
            }
            // It is the log that is ahead.
            Self::LogAhead(_) => Duration::ZERO,
        }
    }

    /// A short constant name, for metrics and health.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AheadOfPeers(_) => "clock-ahead-of-peers",
            Self::SetAhead(_) => "clock-set-ahead",
            Self::AheadOfLastLife(_) => "clock-ahead-of-last-life",
            Self::LogAhead(_) => "log-ahead-of-clock",
        }
    }
}

/// What a clock's own past says of it. Microseconds ahead; negative if it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Nothing is known.
    None,
    /// It showed so much more at the start than when the database was in use last, and nothing says
    /// how long that was ago.
    Loose(i64),
    /// It showed so much more at the start than it must have, by a time that was known to be good and
    /// what has been measured since.
    Exact(i64),
}

/// How the clock of another service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerClock {
    /// By how many microseconds our clock is ahead of it; negative if behind.
    pub ahead: i64,
    /// How wrong that may be, either way.
    pub uncertainty: Duration,
    /// Whether the peer has reason to believe its clock: others may go by it.
    pub vouches: bool,
}

/// What is known of a clock.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'p> {
    /// What its past says.
    pub history: History,
    /// By how many microseconds it was set ahead since the start; negative if back.
    pub set_ahead: i64,
    /// The other services' clocks.
    pub peers: &'p [PeerClock],
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belief {
    /// Why the clock is not believed; `None` if it is.
    pub doubt: Option<Doubt>,
    /// Whether most of the others confirm what it shows.
    pub confirmed: bool,
    /// Whether others may go by it.
    pub vouches: bool,
}

/// Judges a clock.
///
/// Of two clocks that differ, nobody knows which one is wrong: a single peer stops only a clock that
/// its own past does not explain. A peer that does not believe its own clock, or has nothing to believe
/// it by, confirms nobody's: otherwise all services of a machine whose clock is wrong would confirm
/// each other.
#[must_use]
pub fn judge(evidence: Evidence<'_>) -> Belief {
    let Evidence {
        history,
        set_ahead,
        peers,
    } = evidence;
    let own = own_doubt(history, set_ahead);
    let explained = own.is_none() && history != History::None;
    let against = peers.iter().filter(|peer| peer.is_behind());
    let contradicted = most(against.clone().count(), peers) && (peers.len() > 1 || !explained);
    let confirming = peers.iter().filter(|peer| peer.confirms()).count();
    let confirmed = most(confirming, peers);
    let doubt = if contradicted {
        let least = against.map(|peer| peer.ahead).min().unwrap_or_default();
        Some(Doubt::AheadOfPeers(length(least)))
    } else if confirmed {
        None
    } else {
        own
    };
    Belief {
        doubt,
        confirmed: confirmed && !contradicted,
        vouches: doubt.is_none() && (confirmed || explained),
    }
}

fn own_doubt(history: History, set_ahead: i64) -> Option<Doubt> {
    let unexplained = |ahead, bound| beyond(ahead, bound).then(|| length(ahead));
    match history {
        // What it must show is known, however it got there.
        History::Exact(at_start) => {
            unexplained(at_start.saturating_add(set_ahead), MOST_AHEAD).map(Doubt::AheadOfLastLife)
        }
        History::Loose(at_start) => {
            let ahead = at_start.saturating_add(set_ahead);
            unexplained(ahead, MOST_UNEXPLAINED)
                .map(Doubt::AheadOfLastLife)
                .or_else(|| unexplained(set_ahead, MOST_AHEAD).map(Doubt::SetAhead))
        }
        History::None => unexplained(set_ahead, MOST_AHEAD).map(Doubt::SetAhead),
    }
}

impl PeerClock {
    fn is_behind(&self) -> bool {
        beyond(
            self.ahead.saturating_sub(micros(self.uncertainty)),
            MOST_AHEAD,
        )
    }

    fn confirms(&self) -> bool {
        let apart = self.ahead.saturating_abs();
        self.vouches && !beyond(apart.saturating_sub(micros(self.uncertainty)), MOST_AHEAD)
    }
}

fn most(count: usize, peers: &[PeerClock]) -> bool {
    count * 2 > peers.len()
}

fn beyond(ahead: i64, bound: Duration) -> bool {
    ahead > micros(bound)
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

fn length(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
