//! Which stream is a CSP's own now, and what is done with each frame that leaves on it?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use mesh_api::common::v1::{LogEntry, stream_frame::Frame};
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_api::csp_notification::v1::{CspFlagChange, FollowFlagChangesResponse};
use mesh_follow::FrameStream;
use mesh_rpc::{Work, link_to};
use mesh_store::Writer;
use mesh_types::{CspId, Sequence};
use prost::Message as _;
use tokio::sync::watch;
use tonic::Status;
use tracing::Span;

use crate::error::Error;
use crate::store::{Command, CspLogs};
use crate::subscription::OwnCsp;

/// The streams that are attached to this replica, at most one of each CSP.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attachments(Arc<Mutex<Streams>>);

#[derive(Debug, Default)]
struct Streams {
    /// How many there have been: the number of the newest.
    count: u64,
    /// By which each is told why it ends.
    attached: HashMap<CspId, (u64, watch::Sender<Option<Error>>)>,
}

/// A stream's place as its CSP's own, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Attached {
    csp: CspId,
    number: u64,
    ended: watch::Receiver<Option<Error>>,
    all: Attachments,
}

impl Attachments {
    /// Makes a new stream the CSP's own; an older one is told that it no longer is.
    pub(crate) fn take_over(&self, csp: &CspId) -> Attached {
        let (tell, ended) = watch::channel(None);
        let mut streams = self.lock();
        streams.count += 1;
        let number = streams.count;
        let older = streams.attached.insert(csp.clone(), (number, tell));
        drop(streams);
        if let Some((_, older)) = older {
            older.send_replace(Some(Error::Superseded));
        }
        Attached {
            csp: csp.clone(),
            number,
            ended,
            all: self.clone(),
        }
    }

    /// Ends the CSP's stream, if there is one.
    pub(crate) fn end(&self, csp: &CspId, why: Error) {
        let attached = self.lock().attached.remove(csp);
        if let Some((_, stream)) = attached {
            stream.send_replace(Some(why));
        }
    }

    /// Whether a stream of the CSP is attached.
    pub(crate) fn is_attached(&self, csp: &CspId) -> bool {
        self.lock().attached.contains_key(csp)
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached {
    /// Resolves when the stream is no longer the CSP's own.
    async fn ended(&mut self) -> Error {
        let why = self.ended.wait_for(Option::is_some).await;
        let why = why.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut streams = self.all.lock();
        let own = streams.attached.get(&self.csp);
        if own.is_some_and(|(number, _)| *number == self.number) {
            streams.attached.remove(&self.csp);
        }
    }
}

/// What a stream needs to hand frames over to the transport.
pub(crate) struct Delivery {
    pub(crate) csp: OwnCsp,
    pub(crate) attached: Attached,
    /// By which what is delivered counts as work of the CSP.
    pub(crate) work: Option<Work>,
    pub(crate) writer: Writer<CspLogs>,
    /// Up to where the store knows that events were sent.
    pub(crate) sent: Sequence,
}

/// The frames as they leave, until a newer stream takes over or the CSP's log is found to have gone back.
pub(crate) fn deliver(
    frames: FrameStream<FollowFlagChangesResponse>,
    delivery: Delivery,
) -> BoxStream<'static, Result<FollowFlagChangesResponse, Status>> {
    let open = Some((frames, delivery));
    futures::stream::unfold(open, async |state| {
        let (mut frames, mut delivery) = state?;
        let frame = tokio::select! {
            biased;
            why = delivery.attached.ended() => return Some((Err(why.into()), None)),
            frame = frames.next() => frame?,
        };
        match delivery.leaves(frame).await {
            Ok(frame) => Some((Ok(frame), Some((frames, delivery)))),
            Err(status) => Some((Err(status), None)),
        }
    })
    .boxed()
}

impl Delivery {
    /// Records what a frame sends before it leaves, so that no acknowledgement comes too early.
    async fn leaves(
        &mut self,
        frame: Result<FollowFlagChangesResponse, Status>,
    ) -> Result<FollowFlagChangesResponse, Status> {
        let frame = frame?;
        // Each span ends when its event is recorded as sent.
        let _spans: Vec<Span> = entries(&frame)
            .iter()
            .map(|entry| self.span(entry))
            .collect();
        if let Some(up_to) = sends(&frame).filter(|up_to| *up_to > self.sent) {
            let _turn = match &self.work {
                Some(work) => Some(work.turn(entries(&frame).len()).await),
                None => None,
            };
            let sent = Command::Sent(self.csp.clone(), up_to);
            self.writer.submit(sent).await.map_err(Error::from)??;
            self.sent = up_to;
        }
        Ok(frame)
    }

    /// The span of one event's delivery: within the stream's, and caused by the request behind the
    /// event.
    fn span(&self, entry: &LogEntry) -> Span {
        let span = tracing::info_span!(
            "deliver flag change",
            otel.kind = "producer",
            mp169.service = "csp-notification",
            mp169.csp = %self.csp.csp(),
            mp169.log.sequence = entry.position.as_ref().map(|position| position.sequence),
        );
        // Our own event: it can be read unless the store is damaged, and then it goes out as it is.
        if let Ok(change) = CspFlagChange::decode(entry.event.clone()) {
            link_to(&span, &change.trace_parent);
        }
        span
    }
}

fn entries(frame: &FollowFlagChangesResponse) -> &[LogEntry] {
    match frame_of(frame) {
        Some(Frame::Entries(entries)) => &entries.entries,
        _ => &[],
    }
}

/// The event up to which everything has been sent with this frame, if it says anything new.
fn sends(frame: &FollowFlagChangesResponse) -> Option<Sequence> {
    let position = match frame_of(frame)? {
        Frame::Entries(entries) => entries.entries.last()?.position.as_ref(),
        Frame::SnapshotComplete(complete) => complete.position.as_ref(),
        Frame::Hello(_) | Frame::Checkpoint(_) | Frame::Draining(_) | Frame::Resync(_) => None,
    };
    position.map(|position| position.sequence)
}

fn frame_of(response: &FollowFlagChangesResponse) -> Option<&Frame> {
    match response.body.as_ref()? {
        Body::Frame(frame) => frame.frame.as_ref(),
        Body::Snapshot(_) => None,
    }
}
