//! What does one reader of a log get, and when does its stream end?

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::Stream;
use mesh_api::common::v1::{self as wire, ErrorReason, stream_frame::Frame};
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::status;
use mesh_authz::Authorization;
use mesh_store::StoreError;
use mesh_store::cursor::Cursor;
use mesh_store::log::{self, Head, PageLimit, StoredEvent};
use mesh_types::Position;
use tokio::sync::{mpsc, watch};
use tonic::{Code, Status};

use super::{Feed, Notice, SnapshotPages, unavailable};
use crate::FollowResponse;

/// What one frame holds. Each reader that takes nothing costs about two of them: one that waits, and
/// one that the transport is sending.
const PAGE: PageLimit = PageLimit {
    events: 256,
    octets: 32 << 10,
};

/// Why a stream ends.
pub(super) enum End {
    /// The reader went away.
    Gone,
    /// With this status.
    Status(Status),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Status(unavailable(&error))
    }
}

/// Where a stream begins.
pub(super) enum Opening {
    /// After a position.
    After(Position),
    /// With a snapshot of the position.
    Snapshot(Cursor),
}

/// Sends one stream, in a task of its own.
pub(super) struct Reader<R> {
    pub(super) feed: Feed,
    pub(super) authorization: Authorization,
    pub(super) frames: mpsc::Sender<R>,
}

impl<R: FollowResponse> Reader<R> {
    pub(super) async fn run<S>(
        &self,
        head: Head,
        opening: Opening,
        snapshots: &S,
    ) -> Result<(), End>
    where
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let interval = self.feed.settings.checkpoint_interval;
        let interval = interval.mul_f64(rand::random_range(0.9..=1.0));
        let mut source = self.feed.source.clone();
        let mut committed = self.feed.store.committed().subscribe(&self.feed.log);
        self.send(Frame::Hello(wire::StreamHello {
            head: Some(position_to_wire(&head.position)),
            checkpoint_interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            first_epoch: head.first_epoch.get(),
        }))
        .await?;
        let mut at = match opening {
            Opening::After(position) => position,
            Opening::Snapshot(shown) => match self.snapshot(shown, snapshots).await? {
                Some(position) => position,
                None => return self.drain(None).await,
            },
        };
        let mut next_checkpoint = tokio::time::Instant::now();
        let mut noticed = 0;
        loop {
            committed.borrow_and_update();
            let stale_since = source
                .as_mut()
                .and_then(|source| *source.borrow_and_update());
            let looked = self.feed.clock.now();
            if self.tail(&mut at, &mut noticed).await? {
                // Whoever was behind learns at once that it no longer is.
                next_checkpoint = tokio::time::Instant::now();
            }
            if tokio::time::Instant::now() >= next_checkpoint {
                let time = Some(timestamp_to_wire(looked));
                let position = Some(position_to_wire(&at));
                self.send(Frame::Checkpoint(wire::Checkpoint {
                    position,
                    time,
                    source_stale_since: stale_since.map(timestamp_to_wire),
                }))
                .await?;
                next_checkpoint = tokio::time::Instant::now() + interval;
            }
            tokio::select! {
                () = self.frames.closed() => return Err(End::Gone),
                () = self.leaving() => return self.drain(Some(&at)).await,
                () = self.feed.commit_or_poll(&mut committed) => {}
                () = changed(source.as_mut()) => next_checkpoint = tokio::time::Instant::now(),
                () = tokio::time::sleep_until(next_checkpoint) => {}
            }
        }
    }

    /// Resolves when the reader has lost its right, whatever the stream is waiting for.
    pub(super) async fn revoked(&self) -> Status {
        let mut directory = self.authorization.directory_changes();
        loop {
            if let Err(refusal) = self.authorization.still_allowed() {
                return refusal.into();
            }
            if directory.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when the server begins to stop, or is about to close the reader's connection.
    async fn leaving(&self) {
        tokio::select! {
            () = self.feed.draining.cancelled() => {}
            () = self.authorization.ending().begun() => {}
        }
    }

    fn is_leaving(&self) -> bool {
        self.feed.draining.is_cancelled() || self.authorization.ending().has_begun()
    }

    /// Sends the whole snapshot and says where the tail begins; `None` if the stream has to end
    /// before it is whole.
    async fn snapshot<S>(&self, shown: Cursor, snapshots: &S) -> Result<Option<Position>, End>
    where
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let mut after = None;
        let mut items = 0;
        loop {
            if self.is_leaving() {
                return Ok(None);
            }
            let room = self.room().await?;
            let page = snapshots
                .page(shown.position.sequence, after.as_deref())
                .await?;
            items += page.items;
            if page.items > 0 {
                self.put(room, R::from_snapshot(page.part))?;
            }
            match page.next_key {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        self.send(Frame::SnapshotComplete(wire::SnapshotComplete {
            position: Some(position_to_wire(&shown.position)),
            hash: shown.hash.to_vec(),
            items,
        }))
        .await?;
        Ok(Some(shown.position))
    }

    /// Sends what follows `at` up to the head, and the notices on the way after number `noticed`; says
    /// whether there was anything.
    async fn tail(&self, at: &mut Position, noticed: &mut u64) -> Result<bool, End> {
        let mut any = false;
        loop {
            if self.is_leaving() {
                return Ok(any);
            }
            let room = self.room().await?;
            let (mut events, mut more) = {
                let readers = self.feed.store.readers();
                let mut conn = readers.acquire().await?;
                log::read_page(&mut conn, &self.feed.log, at.sequence, PAGE).await?
            };
            // Read after the events: the notice before one of them is there by now.
            if let Some(notice) = self.notice(at, *noticed).await? {
                if notice.after <= at.sequence {
                    *noticed = notice.number;
                    self.put(room, R::from_frame(notice.frame))?;
                    any = true;
                    continue;
                }
                more = true;
                let before = notice.after - at.sequence;
                events.truncate(usize::try_from(before).unwrap_or(usize::MAX));
            }
            let Some(last) = events.last() else {
                return Ok(any);
            };
            let reached = last.sequence;
            let entries = events.into_iter().map(|event| entry(at, event)).collect();
            let frame = Frame::Entries(wire::LogEntries { entries });
            self.put(room, R::from_frame(frame))?;
            at.sequence = reached;
            any = true;
            // What was committed since then is a reason to look again.
            if !more {
                return Ok(true);
            }
        }
    }

    async fn notice(&self, at: &Position, last: u64) -> Result<Option<Notice>, StoreError> {
        match &self.feed.notices {
            Some(notices) => notices.next(at, last).await,
            None => Ok(None),
        }
    }

    async fn drain(&self, at: Option<&Position>) -> Result<(), End> {
        let resume_after = at.map(position_to_wire);
        self.send(Frame::Draining(wire::Draining { resume_after }))
            .await
    }

    async fn send(&self, frame: Frame) -> Result<(), End> {
        let room = self.room().await?;
        self.put(room, R::from_frame(frame))
    }

    /// Waits until the reader has taken what was sent. Nothing is read before: what waits for a
    /// reader that takes nothing stays in the store.
    async fn room(&self) -> Result<mpsc::Permit<'_, R>, End> {
        let reserved = tokio::time::timeout(self.feed.settings.send_timeout, self.frames.reserve());
        match reserved.await {
            Ok(room) => room.map_err(|_| End::Gone),
            Err(_) => Err(End::Status(status::refusal(
                Code::Unavailable,
                ErrorReason::ReaderTooSlow,
                "the reader took nothing for too long; resume after the last position it applied",
            ))),
        }
    }

    fn put(&self, room: mpsc::Permit<'_, R>, response: R) -> Result<(), End> {
        let allowed = self.authorization.still_allowed();
        allowed.map_err(|refusal| End::Status(refusal.into()))?;
        room.send(response);
        Ok(())
    }
}

/// Resolves when a value changes; never if there is none, or nobody any more who could change it.
async fn changed<T>(value: Option<&mut watch::Receiver<T>>) {
    if let Some(value) = value
        && value.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn entry(log: &Position, event: StoredEvent) -> wire::LogEntry {
    let position = Position {
        sequence: event.sequence,
        ..log.clone()
    };
    wire::LogEntry {
        position: Some(position_to_wire(&position)),
        previous_hash: event.previous_hash.to_vec().into(),
        hash: event.hash.to_vec().into(),
        event: event.event.into(),
    }
}

/// The stream of a follow RPC.
#[derive(Debug)]
pub struct FrameStream<R> {
    pub(super) frames: mpsc::Receiver<R>,
    /// The status at the end, if it is not `OK`; taken when it has been told.
    pub(super) end: Option<Arc<OnceLock<Option<Status>>>>,
}

impl<R> Stream for FrameStream<R> {
    type Item = Result<R, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_recv(cx).map(|frame| match frame {
            Some(frame) => Some(Ok(frame)),
            None => self.end.take().and_then(|end| match end.get() {
                Some(status) => status.clone().map(Err),
                // The task is gone without a word: it panicked.
                None => Some(Err(status::internal())),
            }),
        })
    }
}
