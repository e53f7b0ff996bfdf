//! Where does a connection stay that has not said who it is?
//!
//! A room has a bound, and nobody waits to get in: when one more comes than there are places, one
//! of those inside is told to go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::crowd::{Crowd, Origin};

/// Places for so many. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    crowd: Mutex<Crowd<CancellationToken>>,
    left: Notify,
}

/// One that is inside; its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    room: Room,
    origin: Origin,
    number: u64,
    told_to_go: CancellationToken,
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Inner {
            crowd: Mutex::new(Crowd::new(places)),
            left: Notify::new(),
        }))
    }

    /// Lets one in at once; if there was no place, another one has to go.
    pub(super) fn enter(&self, origin: Origin) -> Visit {
        let told_to_go = CancellationToken::new();
        let (number, goes) = self.lock().enter(origin, told_to_go.clone());
        if let Some(goes) = goes {
            goes.cancel();
        }
        Visit {
            room: self.clone(),
            origin,
            number,
            told_to_go,
        }
    }

    /// Tells one to go, whether there are places or not, and waits until one has left. Says whether
    /// there was anybody.
    pub(super) async fn make_room(&self) -> bool {
        let left = self.0.left.notified();
        let Some(goes) = self.lock().first_to_go() else {
            return false;
        };
        goes.cancel();
        left.await;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Crowd<CancellationToken>> {
        // What the lock protects is whole at every step.
        let crowd = self.0.crowd.lock();
        crowd.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Resolves when the visitor has to go.
    pub(super) fn has_to_go(&self) -> WaitForCancellationFuture<'_> {
        self.told_to_go.cancelled()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.room.lock().leave(self.origin, self.number);
        self.room.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn origin() -> Origin {
        Origin::of([192, 0, 2, 1].into())
    }

    fn has_to_go(visit: &Visit) -> bool {
        visit.has_to_go().now_or_never().is_some()
    }

    #[test]
    fn one_more_than_there_are_places_gets_in_and_another_has_to_go() {
        let room = Room::new(2);
        let (first, second) = (room.enter(origin()), room.enter(origin()));
        assert!(!has_to_go(&first) && !has_to_go(&second), "there was room");
        let third = room.enter(origin());
        assert!(has_to_go(&first) && !has_to_go(&second) && !has_to_go(&third));
        // Whoever was told to go has no place any more; whoever leaves frees one.
        drop(first);
        drop(third);
        let fourth = room.enter(origin());
        assert!(!has_to_go(&second) && !has_to_go(&fourth));
    }

    #[tokio::test]
    async fn room_is_made_when_one_has_left() {
        let room = Room::new(2);
        assert!(!room.make_room().await, "nobody is there");
        let (first, second) = (room.enter(origin()), room.enter(origin()));
        let mut made = Box::pin(room.make_room());
        assert!(made.as_mut().now_or_never().is_none());
        assert!(has_to_go(&first) && !has_to_go(&second));
        drop(first);
        assert!(made.await);
    }
}
