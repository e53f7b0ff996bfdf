//! What waits to be put on record, and who waits for it?
//!
//! Calls hand over their entries and go on; one task takes all that waits. A call asks for room before
//! it begins, so that what it enters at its end always has a place: more waits than fits by no more than
//! the calls that are under way.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_api::audit::v1 as wire;
use mesh_rpc::Exchanged;
use mesh_rpc::audit::{Admission, Counted, Entry, Journal, NotOnRecord, Part, Recording, Ticket};
use mesh_types::{Clock, Timestamp};
use tokio::sync::{Notify, watch};

use crate::pseudonym::Pseudonyms;
use crate::record;
use crate::recording::Recordings;
use crate::settings::Settings;
use crate::tally::Tallies;

/// What waits, and how far the writing has come.
pub(crate) struct Queue {
    recordings: Recordings,
    clock: Arc<dyn Clock>,
    settings: Settings,
    waiting: Mutex<Waiting>,
    pub(crate) tallies: Tallies,
    progress: watch::Sender<Progress>,
    /// Something waits.
    pub(crate) something: Notify,
    /// It should not wait any longer.
    pub(crate) hurry: Notify,
}

/// What is to be put on record.
pub(crate) enum Item {
    Call(Box<Entry>),
    Service(wire::ServiceRecord),
}

#[derive(Default)]
struct Waiting {
    items: Vec<Item>,
    /// The ticket of the next item.
    next: u64,
}

/// How far the writing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Items with tickets below this one are on disk.
    pub(crate) written: u64,
    /// Since when nothing could be written.
    pub(crate) failing_since: Option<Timestamp>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.len())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(crate) fn new(recordings: Recordings, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            recordings,
            clock,
            settings,
            waiting: Mutex::default(),
            tallies: Tallies::default(),
            progress: watch::Sender::default(),
            something: Notify::new(),
            hurry: Notify::new(),
        }
    }

    /// Adds an item behind those that wait.
    pub(crate) fn push(&self, item: Item) -> Ticket {
        let (ticket, waiting) = {
            let mut waiting = self.waiting();
            waiting.items.push(item);
            waiting.next += 1;
            (Ticket(waiting.next - 1), waiting.items.len())
        };
        if waiting == 1 {
            self.something.notify_one();
        }
        if waiting == self.settings.at_once {
            self.hurry.notify_one();
        }
        ticket
    }

    /// All that waits, and the ticket that comes after it.
    pub(crate) fn take(&self) -> (Vec<Item>, u64) {
        let mut waiting = self.waiting();
        (std::mem::take(&mut waiting.items), waiting.next)
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting().items.len()
    }

    /// Tells the waiting how far the writing has come.
    pub(crate) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    fn has_room(&self) -> bool {
        self.len() < self.settings.most_waiting
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock panics half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal that a server is given.
#[derive(Debug, Clone)]
pub(crate) struct Handle(pub(crate) Arc<Queue>, pub(crate) Pseudonyms);

impl Journal for Handle {
    fn recording(&self, path: &str) -> Recording {
        self.0.recordings.of(path)
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn admit(&self) -> Option<Admission> {
        if self.0.progress().failing_since.is_some() {
            return Some(Box::pin(std::future::ready(Err(NotOnRecord))));
        }
        if self.0.has_room() {
            return None;
        }
        let queue = Arc::clone(&self.0);
        Some(Box::pin(async move {
            let mut progress = queue.progress.subscribe();
            loop {
                if progress.borrow_and_update().failing_since.is_some() {
                    return Err(NotOnRecord);
                }
                if queue.has_room() {
                    return Ok(());
                }
                progress.changed().await.map_err(|_| NotOnRecord)?;
            }
        }))
    }

    fn enter(&self, entry: Entry) -> Ticket {
        if entry.part == Part::Whole {
            self.1.mark(&entry.noted.devices);
        }
        self.0.push(Item::Call(Box::new(entry)))
    }

    fn on_disk(&self, ticket: Ticket) -> Admission {
        let queue = Arc::clone(&self.0);
        Box::pin(async move {
            let mut progress = queue.progress.subscribe();
            queue.hurry.notify_one();
            loop {
                let now = *progress.borrow_and_update();
                if now.written > ticket.0 {
                    return Ok(());
                }
                if now.failing_since.is_some() {
                    return Err(NotOnRecord);
                }
                progress.changed().await.map_err(|_| NotOnRecord)?;
            }
        })
    }

    fn exchanged(&self, list: &Exchanged) {
        for record in record::of_list(list, self.0.now()) {
            self.0.push(Item::Service(record));
        }
    }

    fn count(&self, what: Counted, calls: u64, messages: u64) {
        self.0.tallies.add(what, calls, messages);
    }
}
