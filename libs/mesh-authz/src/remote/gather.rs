//! Which questions share a call?
//!
//! A question that finds no call under way goes at once, alone. Those that come while it is under way
//! wait for its end and go together in the next one: the busier the service, the fewer calls for each
//! question, and whoever is alone waits for nothing.
//!
//! Nobody waits for more than the one call that was under way, and not for long: one that takes more
//! than [`PATIENCE`] is no longer waited for, and as many as fill a call go without waiting.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

/// Questions in one call. More are several: neither side is busy with it so long at a stretch that the
/// questions of others wait.
pub(super) const MOST: usize = 128;

/// How long questions wait for a call that is under way: several times what an answer takes.
const PATIENCE: Duration = Duration::from_millis(20);

/// Kept back from the time that is left, as a call's deadline does, so that our own answer still
/// reaches whoever waits for it.
const MARGIN: Duration = Duration::from_millis(20);

/// Somebody who can be asked one question, or several at once.
pub(super) trait Answering: Send + Sync + 'static {
    /// What is asked.
    type Question: Send + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// The answer to one question.
    fn one(&self, question: Self::Question) -> impl Future<Output = Self::Answer> + Send;

    /// The answer to each question, in order.
    fn all(&self, questions: Vec<Self::Question>)
    -> impl Future<Output = Vec<Self::Answer>> + Send;
}

/// Gathers questions. Cheap to clone.
pub(super) struct Gather<A: Answering>(Arc<Inner<A>>);

struct Inner<A: Answering> {
    answering: A,
    state: Mutex<State<A>>,
}

struct State<A: Answering> {
    /// Whether a call is under way that others wait for.
    under_way: bool,
    waiting: Vec<Waiting<A>>,
}

struct Waiting<A: Answering> {
    question: A::Question,
    reply: oneshot::Sender<A::Answer>,
    /// What asks.
    span: Span,
}

/// Held by the call that others wait for. When it is dropped, they go.
struct Turn<A: Answering>(Arc<Inner<A>>);

/// What becomes of a question.
enum Place<A: Answering> {
    Alone(A::Question, Turn<A>),
    Waits(oneshot::Receiver<A::Answer>),
}

impl<A: Answering> Gather<A> {
    pub(super) fn new(answering: A) -> Self {
        let state = State {
            under_way: false,
            waiting: Vec::new(),
        };
        Self(Arc::new(Inner {
            answering,
            state: Mutex::new(state),
        }))
    }

    /// Whom it asks.
    pub(super) fn answering(&self) -> &A {
        &self.0.answering
    }

    /// The answer to `question`; `None` if there is none, or not while so much time is left.
    pub(super) async fn ask(
        &self,
        question: A::Question,
        time_left: Option<Duration>,
    ) -> Option<A::Answer> {
        match self.place(question) {
            Place::Alone(question, turn) => Some(turn.during(self.0.answering.one(question)).await),
            Place::Waits(answer) => match time_left {
                None => answer.await.ok(),
                Some(left) => timeout(left.saturating_sub(MARGIN), answer)
                    .await
                    .ok()?
                    .ok(),
            },
        }
    }

    fn place(&self, question: A::Question) -> Place<A> {
        let mut state = self.0.state();
        if !state.under_way {
            state.under_way = true;
            return Place::Alone(question, Turn(Arc::clone(&self.0)));
        }
        let (reply, answer) = oneshot::channel();
        state.waiting.push(Waiting {
            question,
            reply,
            span: Span::current(),
        });
        if state.waiting.len() >= MOST {
            let full = std::mem::take(&mut state.waiting);
            drop(state);
            let asking = Arc::clone(&self.0).ask_all(full);
            tokio::spawn(asking);
        }
        Place::Waits(answer)
    }
}

impl<A: Answering> Clone for Gather<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Answering> Inner<A> {
    fn state(&self) -> MutexGuard<'_, State<A>> {
        // Each change is whole before the lock is let go, whatever panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call for all of `waiting`, given up when nobody waits any more.
    async fn ask_all(self: Arc<Self>, waiting: Vec<Waiting<A>>) {
        let span = tracing::info_span!(parent: None, "questions of several", count = waiting.len());
        let mut replies = Vec::with_capacity(waiting.len());
        let mut questions = Vec::with_capacity(waiting.len());
        for Waiting {
            question,
            reply,
            span: asks,
        } in waiting
        {
            span.follows_from(asks.id());
            questions.push(question);
            replies.push(reply);
        }
        let asking = self.answering.all(questions).instrument(span);
        let answers = tokio::select! {
            answers = asking => answers,
            () = all_gone(&mut replies) => return,
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Whoever went away needs no answer.
            let _ = reply.send(answer);
        }
    }
}

impl<A: Answering> Turn<A> {
    /// Has others wait for `call`, for as long as they have patience.
    async fn during<C: Future>(self, call: C) -> C::Output {
        let mut call = pin!(call);
        match timeout(PATIENCE, call.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(self);
                call.await
            }
        }
    }
}

impl<A: Answering> Drop for Turn<A> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let mut waiting = std::mem::take(&mut state.waiting);
        waiting.retain(|waiting| !waiting.reply.is_closed());
        // Without a runtime nobody waits for an answer.
        let runtime = Handle::try_current().ok();
        let Some(runtime) = runtime.filter(|_| !waiting.is_empty()) else {
            state.under_way = false;
            return;
        };
        drop(state);
        let turn = Self(Arc::clone(&self.0));
        let asking = Arc::clone(&self.0).ask_all(waiting);
        runtime.spawn(turn.during(asking));
    }
}

async fn all_gone<T>(replies: &mut [oneshot::Sender<T>]) {
    for reply in replies {
        reply.closed().await;
    }
}
