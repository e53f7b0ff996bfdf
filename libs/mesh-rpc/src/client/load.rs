//! How much does a connection have to do, and does it answer?

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::body::Body;

use super::broken::status_of;

/// A call that was given up after so long without an answer says something of the connection; one that its
/// caller dropped earlier does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// A connection that left a call without an answer is the second choice for so long, or until it
/// answers.
const DISTRUST: Duration = Duration::from_secs(5);
/// A server that refuses our certificate closes the connection within so long of its opening: in TLS 1.3 the client's
/// handshake is over before the server has looked at what it shows.
const TRIAL: Duration = Duration::from_secs(1);

/// The calls on one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Load(Arc<Calls>);

#[derive(Debug)]
struct Calls {
    opened: Instant,
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
    /// Of a connection that was opened just now.
    pub(super) fn new() -> Self {
        Self(Arc::new(Calls {
            opened: Instant::now(),
            running: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            silent: Mutex::new(None),
        }))
    }

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

    /// Whether the server has accepted what we show: it answered, or kept the connection for long enough to have
    /// looked at it.
    pub(super) fn is_accepted(&self, now: Instant) -> bool {
        self.0.answered.load(Ordering::Relaxed) || now.duration_since(self.0.opened) >= TRIAL
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
pub(super) fn loaded(body: Incoming, running: Running) -> Body {
    Body::new(body.map_err(move |error| {
        // It lives as long as this closure does.
        let _ = &running;
        status_of(error)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_accepts_what_we_show_by_answering_or_by_keeping_the_connection() {
        let accepted = |load: &Load| load.is_accepted(Instant::now());
        let answers = Load::new();
        assert!(!accepted(&answers));
        answers.begin().answered();
        assert!(accepted(&answers));

        let keeps = Load::new();
        tokio::time::advance(TRIAL / 2).await;
        drop(keeps.begin());
        assert!(!accepted(&keeps));
        tokio::time::advance(TRIAL / 2).await;
        assert!(accepted(&keeps));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_left_a_call_without_an_answer_is_silent_until_it_answers() {
        let load = Load::new();
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
