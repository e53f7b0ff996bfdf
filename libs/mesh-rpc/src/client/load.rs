//! How much does a connection have to do, and does it answer?

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::Status;

use super::broken::status_of;

/// A call that was given up after so long without an answer says something of the connection; one that its
/// caller dropped earlier does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// A connection that left a call without an answer is the second choice for so long, or until it
/// answers.
const DISTRUST: Duration = Duration::from_secs(5);

/// The calls on one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    running: AtomicUsize,
    /// Whether any call was ever begun, and any answered.
    begun: AtomicBool,
    answered: AtomicBool,
    /// When a call was given up.
    silent: Mutex<Option<Instant>>,
}

/// One call, until the last of its answer.
pub(super) struct Running {
    load: Load,
    begun: Instant,
    answered: bool,
}

impl Load {
    pub(super) fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        self.0.begun.store(true, Ordering::Relaxed);
        Running {
            load: self.clone(),
            begun: Instant::now(),
            answered: false,
        }
    }

    /// How many calls are running, streams included.
    pub(super) fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    pub(super) fn has_answered(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// Whether it left a call without an answer just now.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent()
            .is_some_and(|since| now.duration_since(since) < DISTRUST)
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The server has begun to answer.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.load.0.answered.store(true, Ordering::Relaxed);
        *self.load.silent() = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.load.0.running.fetch_sub(1, Ordering::Relaxed);
        let now = Instant::now();
        if !self.answered && now.duration_since(self.begun) >= PATIENCE {
            *self.load.silent() = Some(now);
        }
    }
}

/// An answer, which counts as a call until it has been read.
pub(super) struct Loaded {
    body: Incoming,
    _running: Running,
}

impl Loaded {
    pub(super) const fn new(body: Incoming, running: Running) -> Self {
        Self {
            body,
            _running: running,
        }
    }
}

impl HttpBody for Loaded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_err(status_of)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_left_a_call_without_an_answer_is_silent_until_it_answers() {
        let load = Load::default();
        let silent = || load.is_silent(Instant::now());
        let call = load.begin();
        tokio::time::advance(PATIENCE / 2).await;
        drop(call);
        assert!(!silent(), "its caller thought better of it");
        let (call, mut answered) = (load.begin(), load.begin());
        assert_eq!(load.running(), 2);
        tokio::time::advance(PATIENCE).await;
        drop(call);
        assert!(silent());
        answered.answered();
        drop(answered);
        assert!(!silent());
        assert_eq!(load.running(), 0);

        let call = load.begin();
        tokio::time::advance(PATIENCE).await;
        drop(call);
        assert!(silent());
        tokio::time::advance(DISTRUST).await;
        assert!(!silent(), "it gets another chance");
    }
}
