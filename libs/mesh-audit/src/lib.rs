//! The record of a service's calls: a hash-chained log of its own.
//!
//! | Question | File |
//! |---|---|
//! | Which calls have a record, which are counted? | [`Recordings`] (`recording.rs`), from the contracts |
//! | What waits to be put on record? | `queue.rs` |
//! | How are calls counted? | `tally.rs` |
//! | What stands in a record? | `record.rs` |
//! | How does a record name a Device? | `pseudonym.rs` |
//! | How do records get to the disk, and what if they cannot? | `recorder.rs` |
//! | Where are they kept? | `store.rs` |
//! | How is the record read? | `serve.rs` |
//!
//! The layer that sees the calls is [`mesh_rpc::audit`]. Why it is built like this stands in
//! `docs/adr/2026-11-28-the-audit-is-a-log-of-its-own.md`.
//!
//! # What is promised
//!
//! - A call that the contracts put on record *before its answer* is on disk when the answer is sent.
//! - Any other call that has a record of its own is on disk 100 ms after its answer; after `kill -9` at
//!   most so much is missing, and the next record says that the service was not stopped in good order.
//! - No record is dropped: calls wait while too many records do. If nothing can be written, calls that
//!   would have to be put on record are refused before they do anything.
//! - Calls that are counted go on whatever happens to the record; their counts are kept until they can be
//!   written.
//! - A Device is named by a pseudonym, never by its id.

mod metrics;
mod pseudonym;
mod queue;
mod record;
mod recorder;
mod recording;
mod serve;
mod settings;
mod store;
mod tally;
#[cfg(feature = "testing")]
pub mod testing;

use std::convert::Infallible;
use std::sync::Arc;

use mesh_api::audit::v1 as wire;
use mesh_api::convert::timestamp_to_wire;
use mesh_rpc::NotReady;
use mesh_rpc::audit::Journal;
use mesh_store::{Database, Store, StoreError, Trouble, WriterTask};
use mesh_types::{Clock, LikelyClock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use pseudonym::Pseudonyms;
use queue::{Handle, Item, Queue};
use recorder::Recorder;
use serve::Reader;
use store::AuditStore;

pub use recording::{RecordingError, Recordings};
pub use serve::SERVICE;
pub use settings::Settings;
pub use store::MIGRATIONS;

/// The record of one service. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: Arc<Queue>,
    store: AuditStore,
    pseudonyms: Pseudonyms,
    clock: Arc<dyn Clock>,
}

/// The task that writes.
#[derive(Debug)]
pub struct AuditTask {
    stop: CancellationToken,
    recorder: JoinHandle<()>,
    writer: WriterTask,
    store: AuditStore,
}

impl Audit {
    /// Opens the audit database of `service` and starts to record what `recordings` says.
    pub async fn open(
        service: &'static str,
        database: &Database,
        recordings: Recordings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, AuditTask), StoreError> {
        Self::open_with(service, database, recordings, clock, Settings::default()).await
    }

    /// The same with other times and sizes.
    pub async fn open_with(
        service: &'static str,
        database: &Database,
        recordings: Recordings,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<(Self, AuditTask), StoreError> {
        let (store, writer, pseudonyms) =
            AuditStore::open(database, service, Arc::clone(&clock)).await?;
        let clock: Arc<dyn Clock> = Arc::new(LikelyClock(clock));
        let queue = Arc::new(Queue::new(recordings, Arc::clone(&clock), settings));
        metrics::observe(service, &queue);
        let stop = CancellationToken::new();
        let recorder = Recorder {
            queue: Arc::clone(&queue),
            head: store.head().await?,
            store: store.clone(),
            pseudonyms: pseudonyms.clone(),
            clock: Arc::clone(&clock),
            settings,
            stop: stop.clone(),
        };
        let audit = Self {
            queue,
            store: store.clone(),
            pseudonyms,
            clock,
        };
        audit.note(wire::ServiceChange::Started, String::new());
        let task = AuditTask {
            stop,
            recorder: tokio::spawn(recorder.run()),
            writer,
            store,
        };
        Ok((audit, task))
    }

    /// Who puts the calls of the server on record.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(Handle(Arc::clone(&self.queue), self.pseudonyms.clone()))
    }

    /// What serves the record to auditors; its streams end when `draining` is cancelled.
    #[must_use]
    pub fn server(
        &self,
        draining: CancellationToken,
    ) -> impl Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    >
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
    + use<> {
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        Reader::new(store, self.pseudonyms.clone(), clock, draining).server()
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Store {
        self.store.database()
    }

    /// Whether records can be written, as far as is known.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.queue.progress().failing_since.is_none()
    }

    /// Whether records can be written, as far as is known: what health says otherwise.
    pub fn usable(&self) -> Result<(), NotReady> {
        let condition = self.database().condition();
        let condition = condition.borrow();
        judged(self.is_writing(), condition.trouble())
    }

    /// How many records were written, of those that were handed over since the service started; the
    /// first has the ticket zero.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.queue.progress().written
    }

    /// Puts something other than a call on record; `detail` says in words what there is to add.
    pub fn note(&self, change: wire::ServiceChange, detail: String) {
        self.queue.push(Item::Service(wire::ServiceRecord {
            time: Some(timestamp_to_wire(self.queue.now())),
            change: change.into(),
            detail,
            ..wire::ServiceRecord::default()
        }));
    }
}

/// What health says. The operator of a server that is away is not to look for room on a disk.
fn judged(is_writing: bool, trouble: Option<&Trouble>) -> Result<(), NotReady> {
    match trouble {
        _ if is_writing => Ok(()),
        Some(away @ Trouble::Away) => Err(NotReady::because(away.reason())),
        _ => Err(NotReady::because("audit-cannot-be-written")),
    }
}

/// Where the audit database is if nobody says it: beside the service's own, so that `sqlite://x/y.db`
/// has `sqlite://x/y-audit.db`, and `postgres://host/y?sslmode=require` has `postgres://host/y-audit?sslmode=require`.
#[must_use]
pub fn beside(database: &Database) -> Database {
    let url = &database.url;
    let url = if url.starts_with("sqlite:") {
        let bare = url.strip_suffix(".db").unwrap_or(url);
        format!("{bare}-audit.db")
    } else {
        let name = url.find('?').unwrap_or(url.len());
        let (name, parameters) = url.split_at(name);
        format!("{name}-audit{parameters}")
    };
    Database {
        url,
        create: database.create,
    }
}

impl AuditTask {
    /// Writes what is left and closes the database. The server has ended before.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.recorder.await {
            tracing::error!(%error, "the task of the audit ended by itself");
        }
        self.writer.shutdown().await;
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_server_is_away_is_no_matter_of_room() {
        let says = |is_writing, trouble| {
            let judged = judged(is_writing, trouble);
            judged.map_err(|reason| reason.as_str().to_owned())
        };
        let full = Err("audit-cannot-be-written".to_owned());
        assert_eq!(
            says(false, Some(&Trouble::Away)),
            Err("database-away".to_owned())
        );
        assert_eq!(says(false, Some(&Trouble::CannotWrite)), full);
        assert_eq!(says(false, None), full);
        // Until something is to be written nobody misses it.
        assert_eq!(says(true, Some(&Trouble::Away)), Ok(()));
    }
}
