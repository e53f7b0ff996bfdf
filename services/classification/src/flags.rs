//! Which Devices are flagged now, as far as this replica knows, and how present is that?
//!
//! One pointer leads to everything that an answer rests on: the flags, the position that they show
//! and how fresh they are. A reader takes it once per answer, without waiting for anybody; the
//! follower makes the next [`View`] beside it and then moves the pointer. So an answer never mixes
//! two states, and a snapshot is seen whole or not at all.
//!
//! A lock per shard would be cheaper to write and dearer to read, and the decisions of one answer
//! could then rest on different positions. Here an event costs some ten microseconds for the new
//! [`FlagSet`], once per batch of events; flags change a few times a second, messages come by the
//! hundred thousand.

mod age;
mod change;
mod set;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mesh_types::{Position, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

pub use change::{FlagChange, MalformedFlag};
pub use set::{FlagSet, Flagged};

use crate::metrics::Metrics;
use crate::problem::Error;

/// How long an answer waits for a position that has not been applied.
const PATIENCE: Duration = Duration::from_secs(2);

/// What answers rest on.
#[derive(Debug, Clone)]
pub struct View {
    /// The flags.
    pub set: FlagSet,
    /// The position in the log `flags` that they show.
    pub position: Position,
    /// Until when they are known to have been all there was.
    pub fresh_time: Timestamp,
    /// Since when the source is lost, if it is.
    pub stale_since: Option<Timestamp>,
}

/// The flags in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Flags(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    view: ArcSwapOption<View>,
    /// Bumped after each new view.
    changes: watch::Sender<u64>,
    /// Held by those who make the next view; readers never take it.
    source: Mutex<Source>,
    metrics: Metrics,
}

/// What is known of the connection to the flag registry.
#[derive(Debug)]
struct Source {
    /// The longest time without a checkpoint.
    silence: Duration,
    /// When the source is lost unless a checkpoint comes; `None` if it is lost already.
    overdue: Option<Instant>,
}

impl Flags {
    /// Nothing is known yet.
    #[must_use]
    pub fn not_loaded(metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            view: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            source: Mutex::new(Source {
                silence: Duration::from_secs(15),
                overdue: None,
            }),
            metrics,
        }))
    }

    /// What answers rest on now; `None` before the first snapshot.
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.0.view.load_full()
    }

    /// Whether a snapshot has been loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.0.view.load().is_some()
    }

    /// Wakes whenever there is a new view.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The view, once it has reached `wanted`; waits for a short while.
    pub async fn wait_for(&self, wanted: &Position) -> Result<Arc<View>, Error> {
        let mut changes = self.changes();
        let reached = async {
            loop {
                changes.borrow_and_update();
                if let Some(view) = self.view() {
                    if !view.position.comparable(wanted) {
                        return Err(Error::OtherEpoch);
                    }
                    if view.shows(wanted) {
                        return Ok(view);
                    }
                }
                // `self` keeps the sender.
                let _ = changes.changed().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        waited.unwrap_or(Err(Error::NotReached))
    }

    /// The flag registry has answered; without a checkpoint in every `silence` it is lost.
    pub fn connected(&self, silence: Duration) {
        self.source().silence = silence;
    }

    /// Replaces everything by a snapshot, which shows all there was at `fresh_time`.
    pub fn replace(&self, set: FlagSet, position: Position, fresh_time: Timestamp) {
        let mut source = self.source();
        source.is_heard();
        self.publish(View {
            set,
            position,
            fresh_time,
            stale_since: None,
        });
    }

    /// Makes the changes that lead to `position`. Before the first snapshot there is nothing to
    /// change.
    pub fn apply(&self, changes: &[FlagChange], position: Position) {
        let _source = self.source();
        let Some(before) = self.view() else { return };
        let mut view = View::clone(&before);
        for change in changes {
            view.set.apply(change);
        }
        view.position = position;
        self.publish(view);
    }

    /// What is applied was all there was at `fresh_time`.
    pub fn checkpoint(&self, fresh_time: Timestamp) {
        let mut source = self.source();
        source.is_heard();
        let Some(before) = self.view() else { return };
        self.publish(View {
            fresh_time,
            stale_since: None,
            ..View::clone(&before)
        });
    }

    /// The source is lost: answers go on from what there is and say so.
    pub fn lost(&self, now: Timestamp) {
        let mut source = self.source();
        source.overdue = None;
        let Some(before) = self.view().filter(|view| view.stale_since.is_none()) else {
            return;
        };
        self.publish(View {
            stale_since: Some(now),
            ..View::clone(&before)
        });
    }

    /// When the source is lost unless a checkpoint comes; `None` while it is lost.
    #[must_use]
    pub fn overdue(&self) -> Option<Instant> {
        self.source().overdue
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        let source = self.0.source.lock();
        source.unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the source locked, so that views come one after the other.
    fn publish(&self, view: View) {
        let before = self.0.view.load();
        let was_stale = before.as_ref().is_some_and(|view| view.is_stale());
        let (position, fresh) = (&view.position, view.fresh_time);
        match (was_stale, view.is_stale()) {
            (false, true) => {
                tracing::error!(%position, ?fresh, "the flag registry is lost: the flags are stale");
            }
            (true, false) => tracing::info!(%position, ?fresh, "the flags are current again"),
            _ => {}
        }
        self.0.metrics.flags(view.set.len(), view.is_stale());
        self.0.view.store(Some(Arc::new(view)));
        self.0.changes.send_modify(|version| *version += 1);
    }
}

impl View {
    /// Whether it shows everything up to `wanted`.
    #[must_use]
    pub fn shows(&self, wanted: &Position) -> bool {
        self.position.comparable(wanted) && self.position.sequence >= wanted.sequence
    }

    /// Whether the source is lost.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale_since.is_some()
    }
}

impl Source {
    fn is_heard(&mut self) {
        self.overdue = Some(Instant::now() + self.silence);
    }
}
