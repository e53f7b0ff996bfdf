//! How do records get from the queue to the disk?
//!
//! One task takes all that waits and writes it in one transaction, so that a call costs no commit of its
//! own. What cannot be written is kept and tried again; meanwhile no call begins that would have to be put
//! on record.

use std::sync::Arc;

use mesh_api::audit::v1 as wire;
use mesh_api::convert::timestamp_to_wire;
use mesh_store::StoreError;
use mesh_types::{Clock, Sequence, Timestamp};
use prost::Message as _;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::pseudonym::Pseudonyms;
use crate::queue::{Item, Progress, Queue};
use crate::record;
use crate::settings::Settings;
use crate::store::{AuditStore, Events};

/// Octets of records after which an event takes no more: it must fit into a message of a stream.
const EVENT_OCTETS: usize = 256 << 10;

/// Writes what waits.
pub(crate) struct Recorder {
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: AuditStore,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) stop: CancellationToken,
    /// The last event that this process wrote into the log; at first the last one in it.
    pub(crate) head: Sequence,
}

/// When counts were recorded last, and when they will be next.
struct Counting {
    since: Timestamp,
    next: Instant,
}

impl Recorder {
    /// Runs until it is told to stop, and then writes what is left.
    pub(crate) async fn run(mut self) {
        let mut counting = Counting {
            since: self.clock.now(),
            next: Instant::now() + self.settings.counted_every,
        };
        while self.wait(counting.next).await {
            let due = Instant::now() >= counting.next;
            if !self.flush(due.then_some(&mut counting)).await {
                return;
            }
        }
        // STOPPED says that nothing is missing before it.
        if self.flush(Some(&mut counting)).await {
            self.queue.push(Item::Service(wire::ServiceRecord {
                time: Some(timestamp_to_wire(self.clock.now())),
                change: wire::ServiceChange::Stopped.into(),
                ..wire::ServiceRecord::default()
            }));
            self.flush(None).await;
        }
    }

    /// Waits until something is to be written. Says whether it is to go on after that.
    async fn wait(&self, next_count: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.queue.something.notified() => tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                () = self.queue.hurry.notified() => true,
                () = sleep(self.settings.linger) => true,
            },
            () = sleep_until(next_count) => true,
        }
    }

    /// Writes what waits; what cannot be written is tried again until it can, or until the service
    /// stops. Says whether all of it was written.
    async fn flush(&mut self, counting: Option<&mut Counting>) -> bool {
        let (items, next) = self.queue.take();
        let mut records = Encoded::default();
        if let Some(counting) = counting {
            self.counts(counting, &mut records);
        }
        for item in items {
            records.add(match item {
                Item::Call(entry) => record::of_call(&entry, &self.pseudonyms),
                Item::Service(service) => record::of_service(service),
            });
        }
        if records.0.is_empty() {
            return true;
        }
        let mut events = Events {
            records: Arc::new(records.0),
            again_after: None,
        };
        let mut since = None;
        let written = match self.store.write(events.clone()).await {
            Ok(last) => Some(last),
            Err(error) => {
                let failing = *since.insert(self.fail(&error));
                events.again_after = Some(self.head);
                self.try_again(&events, failing).await
            }
        };
        let Some(last) = written else { return false };
        self.head = last;
        self.queue.tell(Progress {
            written: next,
            failing_since: None,
        });
        if let Some(since) = since {
            self.resumed(since);
        }
        true
    }

    /// Says that nothing can be written.
    fn fail(&self, error: &StoreError) -> Timestamp {
        let since = self.clock.now();
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, source, "calls cannot be put on record");
        self.queue.tell(Progress {
            failing_since: Some(since),
            ..self.queue.progress()
        });
        since
    }

    /// Tries until it works, and says which event is the last then: after the signal to stop it is tried once more.
    async fn try_again(&self, events: &Events, since: Timestamp) -> Option<Sequence> {
        loop {
            let stopping = tokio::select! {
                () = self.stop.cancelled() => true,
                () = sleep(self.settings.retry_every) => false,
            };
            match self.store.write(events.clone()).await {
                Ok(last) => return Some(last),
                Err(error) if stopping => {
                    tracing::error!(%error, ?since, "the service stops with calls that are not on record");
                    return None;
                }
                Err(error) => tracing::warn!(%error, ?since, "calls cannot be put on record yet"),
            }
        }
    }

    fn resumed(&self, since: Timestamp) {
        tracing::info!(?since, "calls are put on record again");
        self.queue.push(Item::Service(wire::ServiceRecord {
            time: Some(timestamp_to_wire(self.clock.now())),
            change: wire::ServiceChange::RecordingResumed.into(),
            since_time: Some(timestamp_to_wire(since)),
            ..wire::ServiceRecord::default()
        }));
    }

    fn counts(&self, counting: &mut Counting, records: &mut Encoded) {
        let until = self.clock.now();
        let span = (counting.since, until);
        for (what, tally) in self.queue.tallies.take() {
            records.add(record::of_count(what, tally, span));
        }
        *counting = Counting {
            since: until,
            next: Instant::now() + self.settings.counted_every,
        };
    }
}

/// The records of events, as they stand in them.
#[derive(Default)]
struct Encoded(Vec<Vec<u8>>);

impl Encoded {
    fn add(&mut self, record: wire::AuditRecord) {
        let alone = wire::AuditEvent {
            records: vec![record],
            ..wire::AuditEvent::default()
        };
        match self.0.last_mut() {
            Some(last) if last.len() < EVENT_OCTETS => {
                // The values of a repeated field may be written one after another.
                last.extend_from_slice(&alone.encode_to_vec());
            }
            _ => self.0.push(alone.encode_to_vec()),
        }
    }
}
