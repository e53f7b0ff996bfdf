//! How are calls counted that come by the million?
//!
//! In a map behind a lock that is held for one look-up. There are several, so that threads rarely wait
//! for one another. What is counted depends on what certificates there are, and is bounded all the same:
//! callers that are too many to be told apart are counted together.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use mesh_rpc::audit::Counted;

/// Maps that threads share out among themselves.
const SHARDS: usize = 16;
/// Kinds of calls that are told apart in one map.
const MOST_KINDS: usize = 1024;

/// How many calls of a kind there were, and messages on their streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) messages: u64,
}

/// The counts since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Tallies([Mutex<Kinds>; SHARDS]);

type Kinds = HashMap<Counted, Tally, RandomState>;

impl Tallies {
    /// Counts calls and messages.
    pub(crate) fn add(&self, what: Counted, calls: u64, messages: u64) {
        let mut kinds = self.0[shard()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let what = if kinds.len() < MOST_KINDS || kinds.contains_key(&what) {
            what
        } else {
            Counted {
                identity: None,
                ..what
            }
        };
        let tally = kinds.entry(what).or_default();
        tally.calls += calls;
        tally.messages += messages;
    }

    /// All counts, which begin anew.
    pub(crate) fn take(&self) -> HashMap<Counted, Tally, RandomState> {
        let mut all = Kinds::default();
        for shard in &self.0 {
            let taken = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (what, tally) in taken {
                let sum = all.entry(what).or_default();
                sum.calls += tally.calls;
                sum.messages += tally.messages;
            }
        }
        all
    }
}

/// The map of this thread.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    MINE.get()
}

#[cfg(test)]
mod tests {
    use mesh_authz::Identity;
    use mesh_rpc::audit::Answer;
    use mesh_types::{EntityId, Eui64};

    use super::*;

    fn counted(entity: u64) -> Counted {
        let entity = EntityId::new(Eui64::from_u64(entity));
        Counted {
            identity: Some(Identity::Organisation(entity)),
            rpc: "a.B/C",
            answer: Answer::OK,
        }
    }

    #[test]
    fn what_many_threads_count_adds_up() {
        let tallies = Tallies::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for call in 0..10_000 {
                        tallies.add(counted(call % 7), 1, 2);
                    }
                });
            }
        });
        let taken = tallies.take();
        assert_eq!(taken.len(), 7);
        assert_eq!(taken.values().map(|tally| tally.calls).sum::<u64>(), 80_000);
        assert_eq!(
            taken.values().map(|tally| tally.messages).sum::<u64>(),
            160_000
        );
        assert!(tallies.take().is_empty());
    }

    #[test]
    fn callers_without_end_are_counted_together_and_none_is_lost() {
        let tallies = Tallies::default();
        for caller in 0..100_000 {
            tallies.add(counted(caller), 1, 0);
        }
        let taken = tallies.take();
        assert!(taken.len() <= MOST_KINDS + 1, "{}", taken.len());
        assert_eq!(
            taken.values().map(|tally| tally.calls).sum::<u64>(),
            100_000
        );
    }
}
