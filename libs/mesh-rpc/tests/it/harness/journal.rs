//! A journal in memory, which a test can read, fill and break.

use std::sync::{Arc, Mutex};

use mesh_rpc::Exchanged;
use mesh_rpc::audit::{
    Admission, Answer, Counted, Entry, Journal, NotOnRecord, OnDisk, Part, Recording, Ticket,
};
use mesh_types::{Clock as _, SystemClock, Timestamp};
use tokio::sync::watch;

use super::{BOTH_WAYS, STREAM, UNARY};

/// What was put on record, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestJournal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Vec<Kept>>,
    lists: Mutex<Vec<Exchanged>>,
    state: watch::Sender<State>,
}

/// One thing that was put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Entry(&'static str, Part, Answer),
    Count(&'static str, Answer, u64, u64),
}

/// What the journal does with those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Writes,
    /// Those who wait for the disk or for room wait on.
    Stuck,
    /// Nothing can be written.
    Broken,
}

impl TestJournal {
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.0.kept.lock().unwrap().clone()
    }

    /// The lists of which it was told.
    pub(crate) fn lists(&self) -> Vec<Exchanged> {
        self.0.lists.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, state: State) {
        self.0.state.send_replace(state);
    }

    fn keep(&self, kept: Kept) {
        self.0.kept.lock().unwrap().push(kept);
    }

    fn settled(&self) -> Admission {
        let mut state = self.0.state.subscribe();
        Box::pin(async move {
            let settled = state.wait_for(|state| *state != State::Stuck).await;
            match *settled.unwrap() {
                State::Broken => Err(NotOnRecord),
                _ => Ok(()),
            }
        })
    }
}

impl Journal for TestJournal {
    /// The unary RPC has records, the stream has them before its first message, and the one that streams
    /// both ways is counted.
    fn recording(&self, path: &str) -> Recording {
        match path {
            UNARY => Recording::Each {
                before_answer: OnDisk::ThePast,
            },
            STREAM => Recording::Each {
                before_answer: OnDisk::Always,
            },
            BOTH_WAYS => Recording::Counted,
            _ => Recording::CountedOfServices,
        }
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn admit(&self) -> Option<Admission> {
        let state = *self.0.state.borrow();
        (state == State::Broken).then(|| self.settled())
    }

    fn enter(&self, entry: Entry) -> Ticket {
        self.keep(Kept::Entry(entry.rpc, entry.part, entry.answer));
        Ticket(0)
    }

    fn on_disk(&self, _: Ticket) -> Admission {
        self.settled()
    }

    fn exchanged(&self, list: &Exchanged) {
        self.0.lists.lock().unwrap().push(list.clone());
    }

    fn count(&self, what: Counted, calls: u64, messages: u64) {
        self.keep(Kept::Count(what.rpc, what.answer, calls, messages));
    }
}
