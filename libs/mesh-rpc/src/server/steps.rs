//! Who may work on a handshake now?
//!
//! A step of a handshake keeps a thread busy: for a signature, or for the check of a chain. The
//! caller decides how many steps there are and in which of them the work is, so each of them takes a
//! turn, the first and all that follow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Does `work` in steps, and each while it holds a turn.
#[derive(Debug)]
pub(super) struct InSteps<F> {
    turns: PollSemaphore,
    /// That of the next step, if it is known already.
    turn: Option<OwnedSemaphorePermit>,
    work: Pin<Box<F>>,
}

impl<F> InSteps<F> {
    /// The first step has its `turn`, the others wait for one in the order in which they come.
    pub(super) fn new(turns: &Arc<Semaphore>, turn: OwnedSemaphorePermit, work: F) -> Self {
        Self {
            turns: PollSemaphore::new(Arc::clone(turns)),
            turn: Some(turn),
            work: Box::pin(work),
        }
    }
}

impl<F: Future> Future for InSteps<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let turn = match self.turn.take() {
            Some(turn) => Some(turn),
            // None if there are no turns any more, which nobody ends.
            None => ready!(self.turns.poll_acquire(cx)),
        };
        let done = self.work.as_mut().poll(cx);
        drop(turn);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn every_step_waits_for_a_turn() {
        let turns = Arc::new(Semaphore::new(1));
        let first = Arc::clone(&turns).try_acquire_owned().unwrap();
        let mut steps = 0;
        let work = poll_fn(|_| {
            steps += 1;
            assert_eq!(turns.available_permits(), 0, "a step holds its turn");
            match steps {
                3 => Poll::Ready("done"),
                _ => Poll::Pending,
            }
        });
        let mut work = InSteps::new(&turns, first, work);
        assert_eq!((&mut work).now_or_never(), None);
        // Another one works: there is a turn for each step, and none in between.
        for _ in 0..2 {
            let others = turns.try_acquire().unwrap();
            assert_eq!((&mut work).now_or_never(), None);
            assert_eq!((&mut work).now_or_never(), None);
            drop(others);
            let done = (&mut work).now_or_never();
            if done.is_some() {
                break;
            }
        }
        drop(work);
        assert_eq!(steps, 3);
        assert_eq!(turns.available_permits(), 1);
    }
}
