//! Since when has nothing been taken over from flag-registry, and why?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_api::csp_notification::v1::SourceTrouble;
use mesh_types::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long flag-registry may be silent before it has said how often it speaks: one and a half of its
/// usual checkpoint intervals. CSPs are to know within ten seconds.
const AT_FIRST: Duration = Duration::from_millis(7_500);

/// What is known of flag-registry. Copies share it.
#[derive(Clone)]
pub(crate) struct Source(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    stale_since: watch::Sender<Option<Timestamp>>,
}

struct State {
    /// When something was taken over last, by the clock.
    heard: Timestamp,
    /// When the silence has been too long.
    due: Instant,
    allowed: Duration,
    trouble: SourceTrouble,
}

impl Source {
    /// Not stale until flag-registry has had time to answer.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            heard: clock.now(),
            due: Instant::now() + AT_FIRST,
            allowed: AT_FIRST,
            trouble: SourceTrouble::NotFollowing,
        };
        Self(Arc::new(Shared {
            clock,
            state: Mutex::new(state),
            stale_since: watch::Sender::new(None),
        }))
    }

    /// The log is lost after so long without a frame: after half of that it is stale.
    pub(crate) fn connected(&self, silence: Duration) {
        self.state().allowed = silence / 2;
    }

    /// Everything up to now was taken over.
    pub(crate) fn heard(&self) {
        let mut state = self.state();
        state.heard = self.0.clock.now();
        state.due = Instant::now() + state.allowed;
        state.trouble = SourceTrouble::NotFollowing;
        drop(state);
        self.tell(None);
    }

    /// Nothing can be taken over, for a reason that a wait does not remove.
    pub(crate) fn troubled(&self, trouble: SourceTrouble) {
        let mut state = self.state();
        state.trouble = trouble;
        let heard = state.heard;
        drop(state);
        self.tell(Some(heard));
    }

    /// Since when nothing was taken over, and why, if that is too long.
    pub(crate) fn stale(&self) -> Option<(Timestamp, SourceTrouble)> {
        let since = (*self.0.stale_since.borrow())?;
        Some((since, self.state().trouble))
    }

    /// The same, for whoever wants to know when it changes.
    pub(crate) fn stale_since(&self) -> watch::Receiver<Option<Timestamp>> {
        self.0.stale_since.subscribe()
    }

    /// Notices silence, until `stop` is cancelled.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut changes = self.stale_since();
        loop {
            let (due, heard) = {
                let state = self.state();
                (state.due, state.heard)
            };
            let stale = changes.borrow_and_update().is_some();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due), if !stale => {
                    if self.state().due == due {
                        self.tell(Some(heard));
                    }
                }
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    fn tell(&self, stale_since: Option<Timestamp>) {
        self.0.stale_since.send_if_modified(|told| {
            let news = *told != stale_since;
            if news && let Some(since) = stale_since {
                tracing::error!(
                    since = since.micros(),
                    "nothing is taken over from flag-registry"
                );
            } else if news {
                tracing::info!("flag-registry is followed again");
            }
            *told = stale_since;
            news
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
