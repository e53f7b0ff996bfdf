//! What is done with each frame that leaves on a CSP's own stream?

use futures::StreamExt as _;
use futures::stream::BoxStream;
use mesh_api::common::v1::{LogEntry, stream_frame::Frame};
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_api::csp_notification::v1::{CspFlagChange, FollowFlagChangesResponse};
use mesh_follow::FrameStream;
use mesh_rpc::{Work, link_to};
use mesh_types::Sequence;
use prost::Message as _;
use tonic::Status;
use tracing::Span;

use crate::attachments::Attached;

/// What a stream needs to hand frames over to the transport.
pub(crate) struct Delivery {
    pub(crate) attached: Attached,
    /// By which what is delivered counts as work of the CSP.
    pub(crate) work: Option<Work>,
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
            self.attached.sends(up_to).await?;
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
            mp169.csp = %self.attached.csp().csp(),
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
