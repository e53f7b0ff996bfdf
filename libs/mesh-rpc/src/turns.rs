//! How does a call wait for its turn?
//!
//! Each class of callers has a queue of its own, so that no class waits for another's work; within
//! it callers take turns by [`Fair`]. Whoever stops waiting, because its deadline has passed or its
//! caller has gone, is out of the queue with that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_authz::Identity;
use tokio::sync::oneshot;

use crate::fair::{Fair, Granted};
use crate::limits::{Class, Shares};

/// The queues of one server.
#[derive(Debug, Clone)]
pub(crate) struct Turns([Arc<Queue>; Class::ALL.len()]);

/// Work of callers of one class.
#[derive(Debug)]
struct Queue(Mutex<Fair<Identity, oneshot::Sender<Turn>>>);

/// By which the items of a stream are counted as work of its caller. In the extensions of every
/// streaming request.
#[derive(Debug, Clone)]
pub struct Work {
    queue: Arc<Queue>,
    caller: Identity,
}

/// Work in service. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    queue: Arc<Queue>,
    caller: Identity,
    held: usize,
    answered: bool,
}

/// A place in the queue, given up when dropped.
struct Waiting<'w> {
    work: &'w Work,
    ticket: u64,
}

impl Turns {
    pub(crate) fn new(shares: &Shares) -> Self {
        Self(Class::ALL.map(|class| Arc::new(Queue(Mutex::new(Fair::new(shares.of(class).work))))))
    }

    pub(crate) fn of(&self, caller: Identity) -> Work {
        let class = Class::of(Some(caller));
        Work {
            queue: Arc::clone(&self.0[class as usize]),
            caller,
        }
    }
}

impl Work {
    /// Of a streaming request that came through the chain; `None` of any other.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Waits for its turn with so many items. Drop it before waiting for the caller.
    pub async fn turn(&self, items: usize) -> Turn {
        let (sender, mut turn) = oneshot::channel();
        let ticket = self.queue.lock().wait(self.caller, items, sender);
        let _waiting = Waiting { work: self, ticket };
        self.queue.grant();
        match turn.try_recv() {
            Ok(turn) => turn,
            // The queue keeps the sender until the turn has come, so that this cannot fail.
            Err(_) => match turn.await {
                Ok(turn) => turn,
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Work { queue, caller } = self.work;
        queue.lock().withdraw(*caller, self.ticket);
        // What waited behind it may fit where it did not.
        queue.grant();
    }
}

impl Queue {
    /// Lets in what may go in.
    fn grant(self: &Arc<Self>) {
        loop {
            // Bound first: a turn that nobody takes must not find the queue locked.
            let granted = self.lock().next();
            let Some(Granted { key, held, what }) = granted else {
                return;
            };
            let turn = Turn {
                queue: Arc::clone(self),
                caller: key,
                held,
                answered: false,
            };
            if let Err(turn) = what.send(turn) {
                turn.end();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fair<Identity, oneshot::Sender<Turn>>> {
        // Every method leaves the queue whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The work is done; what it came to counts for its caller alone until that has taken it.
    pub(crate) fn answered(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            self.queue.lock().answered(self.held);
            self.queue.grant();
        }
    }

    /// Ends without letting others in, for one who does that anyway.
    fn end(mut self) {
        self.leave();
        self.held = 0;
    }

    fn leave(&self) {
        let mut queue = self.queue.lock();
        if !self.answered {
            queue.answered(self.held);
        }
        queue.leave(self.caller, self.held);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.held > 0 {
            self.leave();
            self.queue.grant();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use mesh_authz::InternalRole;
    use mesh_types::{EntityId, Eui64};

    use super::*;

    fn party(number: u64) -> Identity {
        Identity::Organisation(EntityId::new(Eui64::from_u64(number)))
    }

    #[tokio::test]
    async fn a_hogs_turns_come_one_by_one_and_another_caller_waits_for_none() {
        let turns = Turns::new(&Shares::default());
        let (hog, quiet) = (turns.of(party(1)), turns.of(party(2)));
        let first = hog.turn(1_000).await;
        let mut second = Box::pin(hog.turn(1_000));
        assert!(second.as_mut().now_or_never().is_none());
        let other = quiet.turn(1).now_or_never();
        assert!(other.is_some(), "a quiet caller goes in at once");
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let turns = Turns::new(&Shares::default());
        let hog = turns.of(party(1));
        let first = hog.turn(1_000).await;
        let mut gone = Box::pin(hog.turn(1_000));
        let mut granted_and_gone = Box::pin(hog.turn(1_000));
        let mut last = Box::pin(hog.turn(1_000));
        for waiting in [&mut gone, &mut granted_and_gone, &mut last] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        drop(granted_and_gone);
        assert!(last.now_or_never().is_some());
        let queue = hog.queue.lock();
        assert!(format!("{queue:?}").contains("lanes: {}"), "{queue:?}");
    }

    #[tokio::test]
    async fn no_class_waits_for_another() {
        let mut shares = Shares::default();
        shares.parties.work.class = 1;
        shares.parties.work.caller = 1;
        let turns = Turns::new(&shares);
        let hog = turns.of(party(1));
        let _first = hog.turn(1).await;
        assert!(hog.turn(1).now_or_never().is_none());
        for role in InternalRole::ALL {
            let work = turns.of(Identity::Internal(*role));
            assert!(work.turn(1_000).now_or_never().is_some(), "{role}");
        }
    }
}
