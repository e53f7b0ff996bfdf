//! Who hears that something was committed?
//!
//! A hint and never the truth: another replica's commits arrive by [`Store::refresh`] only, so a
//! stream that waits here also looks at the head row now and then.
//!
//! [`Store::refresh`]: crate::Store::refresh

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_types::{LogName, Sequence};
use tokio::sync::watch;

use crate::sql::Conn;
use crate::{StoreError, log};

/// The latest committed sequence of each log, as far as this process knows.
#[derive(Debug, Clone, Default)]
pub struct Committed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    logs: Mutex<HashMap<LogName, watch::Sender<Sequence>>>,
    /// Counts the looks at what others have committed.
    heard: watch::Sender<u64>,
    /// Counts the commits of this process.
    own: watch::Sender<u64>,
}

impl Committed {
    /// Wakes whenever something was committed to `log`. Zero as long as nothing is known of it.
    #[must_use]
    pub fn subscribe(&self, log: &LogName) -> watch::Receiver<Sequence> {
        self.with(log, watch::Sender::subscribe)
    }

    /// The latest committed sequence of `log` that this process knows.
    #[must_use]
    pub fn latest(&self, log: &LogName) -> Sequence {
        self.with(log, |sender| *sender.borrow())
    }

    /// The latest committed sequence of each log that this process knows of.
    #[must_use]
    pub fn all(&self) -> Vec<(LogName, Sequence)> {
        let logs = self.0.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let logs = logs.iter();
        logs.map(|(log, latest)| (log.clone(), *latest.borrow()))
            .collect()
    }

    /// Tells the waiting that `sequence` is on disk; one that is not news wakes nobody.
    pub(crate) fn publish(&self, log: &LogName, sequence: Sequence) {
        self.with(log, |sender| {
            sender.send_if_modified(|latest| {
                let news = sequence > *latest;
                if news {
                    *latest = sequence;
                }
                news
            });
        });
    }

    /// Reads the heads of all logs, and tells the waiting what others have committed.
    pub(crate) async fn refresh(&self, conn: &mut Conn) -> Result<(), StoreError> {
        for head in log::heads(conn, "").await? {
            self.publish(&head.position.log, head.position.sequence);
        }
        self.0.heard.send_modify(|looks| *looks += 1);
        Ok(())
    }

    /// Notes that this process has committed something, to whichever tables.
    pub(crate) fn note(&self) {
        self.0.own.send_modify(|commits| *commits += 1);
    }

    /// Wakes after each commit of this process.
    pub(crate) fn own(&self) -> watch::Receiver<u64> {
        self.0.own.subscribe()
    }

    /// Wakes after each look at what others have committed.
    pub(crate) fn heard(&self) -> watch::Receiver<u64> {
        self.0.heard.subscribe()
    }

    fn with<T>(&self, log: &LogName, act: impl FnOnce(&watch::Sender<Sequence>) -> T) -> T {
        let mut logs = self.0.logs.lock().unwrap_or_else(PoisonError::into_inner);
        act(logs
            .entry(log.clone())
            .or_insert_with(|| watch::Sender::new(0)))
    }
}
