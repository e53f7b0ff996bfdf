//! What is known of a clock: its own past, and what the other services' clocks show.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Timestamp;
use crate::belief::{self, Belief, Evidence, History, PeerClock};

/// What a peer's clock showed is used for so long.
pub const HEARD_FOR: Duration = Duration::from_secs(60);
/// Of what is heard within so long, the most certain is kept.
const SLOT: Duration = Duration::from_secs(5);

/// Measures how long it is since some beginning, whatever the clock is set to.
type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Gathers what is known of a clock, and judges it. Cheap to clone.
#[derive(Clone)]
pub struct ClockWatch {
    elapsed: Elapsed,
    state: Arc<Mutex<State>>,
}

struct State {
    /// What the clock showed at the start, or when it was confirmed.
    began: Timestamp,
    /// When that was.
    began_at: Duration,
    history: History,
    accepted: bool,
    peers: BTreeMap<&'static str, Vec<Word>>,
}

/// What a peer's clock showed.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// The time.
    pub time: Timestamp,
    /// When it showed that, as [`ClockWatch::elapsed`] counts.
    pub at: Duration,
    /// How wrong `at` may be, either way.
    pub uncertainty: Duration,
    /// Whether the peer has reason to believe its clock.
    pub vouches: bool,
}

impl ClockWatch {
    /// Of a clock that shows `began` now; `elapsed` measures time in another way.
    pub(crate) fn begin(
        began: Timestamp,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                began,
                began_at: elapsed(),
                history: History::None,
                accepted: false,
                peers: BTreeMap::new(),
            })),
            elapsed: Arc::new(elapsed),
        }
    }

    /// An operator says that the clock is right at this start.
    pub(crate) fn accept(&self) {
        let mut state = self.lock();
        state.accepted = true;
        state.history = History::Exact(0);
    }

    /// How long it is since some beginning, whatever the clock shows.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }

    /// Takes what is known of the time before this start, unless something surer is known, or an operator
    /// said that the clock is right.
    pub fn remember(&self, history: History) {
        let mut state = self.lock();
        if !state.accepted {
            state.history = surer(state.history, history);
        }
    }

    /// What the clock showed at the start.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.lock().began
    }

    /// Whether an operator said that the clock is right at this start.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.lock().accepted
    }

    /// Takes what the clock of the service `peer` showed.
    pub fn hear(&self, peer: &'static str, word: Word) {
        let now = self.elapsed();
        let mut state = self.lock();
        let words = state.peers.entry(peer).or_default();
        words.retain(|known| now.saturating_sub(known.at) < HEARD_FOR && known.agrees(&word));
        match words.last_mut() {
            Some(last) if word.at.saturating_sub(last.at) < SLOT => {
                last.vouches = word.vouches;
                if word.uncertainty <= last.uncertainty {
                    // The slot goes on from its beginning, so that there is another one after it.
                    *last = Word {
                        at: last.at,
                        time: word.time_at(last.at),
                        ..word
                    };
                }
            }
            _ => words.push(word),
        }
    }

    /// Judges the clock, which shows `now`.
    #[must_use]
    pub fn judge(&self, now: Timestamp) -> Belief {
        let elapsed = self.elapsed();
        let mut state = self.lock();
        let set_ahead = state.set_ahead(now, elapsed);
        let peers: Vec<PeerClock> = state.heard(now, elapsed).map(|(_, peer)| peer).collect();
        let evidence = Evidence {
            history: state.history,
            set_ahead,
            peers: &peers,
        };
        let belief = belief::judge(evidence);
        if belief.confirmed {
            // From here on it is measured by what was confirmed.
            state.began = now;
            state.began_at = elapsed;
            state.history = History::Exact(0);
        }
        belief
    }

    /// By how much the clock, which shows `now`, is ahead of each peer's that was heard.
    #[must_use]
    pub fn peers(&self, now: Timestamp) -> Vec<(&'static str, PeerClock)> {
        let elapsed = self.elapsed();
        self.lock().heard(now, elapsed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What the lock protects is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of what two databases of a service say, what is surer.
fn surer(known: History, other: History) -> History {
    match (known, other) {
        (History::Loose(known), History::Loose(other)) => History::Loose(known.min(other)),
        (History::Exact(_), _) | (History::Loose(_), History::None) => known,
        (_, other) => other,
    }
}

impl State {
    fn set_ahead(&self, now: Timestamp, elapsed: Duration) -> i64 {
        let must_show = self
            .began
            .saturating_add(elapsed.saturating_sub(self.began_at));
        now.micros().saturating_sub(must_show.micros())
    }

    /// Of each peer the most certain word, and whether it vouches by its last one.
    fn heard(
        &self,
        now: Timestamp,
        elapsed: Duration,
    ) -> impl Iterator<Item = (&'static str, PeerClock)> + '_ {
        self.peers.iter().filter_map(move |(&peer, words)| {
            let fresh = words
                .iter()
                .filter(|word| elapsed.saturating_sub(word.at) < HEARD_FOR);
            let vouches = fresh.clone().next_back()?.vouches;
            let best = fresh.min_by_key(|word| word.uncertainty)?;
            let theirs = best.time_at(elapsed);
            let clock = PeerClock {
                ahead: now.micros().saturating_sub(theirs.micros()),
                uncertainty: best.uncertainty,
                vouches,
            };
            Some((peer, clock))
        })
    }
}

impl Word {
    /// What the peer's clock shows at another moment, if nobody sets it.
    fn time_at(&self, at: Duration) -> Timestamp {
        if at >= self.at {
            return self.time.saturating_add(at - self.at);
        }
        let back = i64::try_from((self.at - at).as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.time.micros().saturating_sub(back))
    }

    /// Whether both can be words of one clock that was not set in between.
    fn agrees(&self, other: &Self) -> bool {
        let expected = self.time_at(other.at).micros();
        let apart = Duration::from_micros(expected.abs_diff(other.time.micros()));
        apart <= self.uncertainty + other.uncertainty
    }
}

impl fmt::Debug for ClockWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockWatch")
    }
}

#[cfg(test)]
mod tests;
