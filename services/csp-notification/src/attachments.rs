//! Which stream is a CSP's own, of all that any process serves?
//!
//! The one with the number that stands in the subscription: each that takes it over has the next one. A stream with
//! an older number cannot record that anything was sent, so it sends nothing new. Within a process it is told at once why it
//! ends; what another process has taken over it hears of within half a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_store::{Store, StoreError, Writer};
use mesh_types::{CspId, Sequence};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::{Command, CspLogs, Done, disputes, streams, subscription};
use crate::subscription::{OwnCsp, StreamNumber};

/// The streams that this process serves, at most one of each CSP. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Attachments {
    store: Store,
    writer: Writer<CspLogs>,
    streams: Arc<Mutex<HashMap<CspId, Stream>>>,
}

struct Stream {
    number: StreamNumber,
    /// By which it is told why it ends.
    tell: watch::Sender<Option<Error>>,
}

/// A stream's place as its CSP's own, given up when it is dropped.
pub(crate) struct Attached {
    csp: OwnCsp,
    number: StreamNumber,
    ended: watch::Receiver<Option<Error>>,
    all: Attachments,
}

// === impl Attachments ===

impl Attachments {
    pub(crate) fn new(store: Store, writer: Writer<CspLogs>) -> Self {
        Self {
            store,
            writer,
            streams: Arc::default(),
        }
    }

    /// Makes a new stream the CSP's own; an older one no longer is, whichever process serves it.
    pub(crate) async fn attach(&self, csp: OwnCsp) -> Result<Attached, Error> {
        let number = self.number(&csp).await?;
        let (tell, ended) = watch::channel(None);
        let mut streams = self.lock();
        match streams.get(csp.csp()) {
            // Of two that came at once the other is the newer.
            Some(other) if other.number > number => {
                tell.send_replace(Some(Error::Superseded));
            }
            _ => {
                let older = streams.insert(csp.csp().clone(), Stream { number, tell });
                if let Some(older) = older {
                    older.tell.send_replace(Some(Error::Superseded));
                }
            }
        }
        drop(streams);
        Ok(Attached {
            csp,
            number,
            ended,
            all: self.clone(),
        })
    }

    async fn number(&self, csp: &OwnCsp) -> Result<StreamNumber, Error> {
        let attach = Command::Attach(csp.clone(), self.store.replica());
        match self.writer.submit(attach).await {
            Ok(Ok(Done::Attached(number))) => Ok(number),
            Ok(Ok(Done::Written)) => {
                Err(StoreError::inconsistent("subscription", "a stream has no number").into())
            }
            Ok(Err(refused)) => Err(refused),
            // What is known already is sent also while nothing can be written. Who else has a stream, this process
            // alone knows then.
            Err(_) if !self.store.is_shared() => {
                let subscription = subscription(&self.store, csp.csp()).await?;
                Ok(subscription.ok_or(Error::NotFound)?.stream)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the CSP's stream, if this process serves it.
    pub(crate) fn end(&self, csp: &CspId, why: Error) {
        if let Some(stream) = self.lock().remove(csp) {
            stream.tell.send_replace(Some(why));
        }
    }

    /// Ends the streams that are no longer their CSPs' own, or whose CSPs have disputed their logs, through another
    /// process, until `stop` is cancelled.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut heard = self.store.heard();
        let watching = async {
            while heard.changed().await.is_ok() {
                if let Err(error) = self.look().await {
                    tracing::debug!(%error, "it cannot be looked for streams that were taken over");
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    async fn look(&self) -> Result<(), StoreError> {
        if self.lock().is_empty() {
            return Ok(());
        }
        let newest = streams(&self.store).await?;
        // At once: what is attached after the reading is newer than what was read.
        let older: Vec<Stream> = self
            .lock()
            .extract_if(|csp, stream| {
                newest
                    .get(csp)
                    .is_some_and(|newest| stream.number < *newest)
            })
            .map(|(_, stream)| stream)
            .collect();
        for stream in older {
            stream.tell.send_replace(Some(Error::Superseded));
        }
        for dispute in disputes(&self.store).await? {
            if let Ok(csp) = dispute.by.parse() {
                self.end(&csp, Error::LogWentBack(dispute.seen.position.sequence));
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CspId, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Attached ===

impl Attached {
    pub(crate) const fn csp(&self) -> &OwnCsp {
        &self.csp
    }

    /// Resolves when the stream is no longer the CSP's own.
    pub(crate) async fn ended(&mut self) -> Error {
        let why = self.ended.wait_for(Option::is_some).await;
        let why = why.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Records that everything up to an event is about to be sent on this stream.
    pub(crate) async fn sends(&self, up_to: Sequence) -> Result<(), Error> {
        let sent = Command::Sent(self.csp.clone(), self.number, up_to);
        self.all.writer.submit(sent).await??;
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut streams = self.all.lock();
        let own = streams.get(self.csp.csp());
        if own.is_none_or(|own| own.number != self.number) {
            return;
        }
        streams.remove(self.csp.csp());
        drop(streams);
        let detach = Command::Detach(self.csp.clone(), self.number);
        let writer = self.all.writer.clone();
        // A runtime that ends takes the process with it, which is noticed, too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = writer.submit(detach).await {
                    tracing::debug!(%error, "it could not be noted that a stream has ended");
                }
            });
        }
    }
}
