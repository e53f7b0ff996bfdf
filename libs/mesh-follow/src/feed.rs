//! Serving a log: snapshot, tail, checkpoints, and an end that says where to go on.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::Stream;
use mesh_api::common::v1::{self as wire, ErrorReason, stream_frame::Frame};
use mesh_api::convert::{position_from_wire, position_to_wire, timestamp_to_wire};
use mesh_api::status;
use mesh_authz::Authorization;
use mesh_store::log::{self, Head, PageLimit, StoredEvent};
use mesh_store::{Store, StoreError};
use mesh_types::{Clock, LogName, Position, Sequence};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::FollowResponse;

/// How long a read waits for a position that has not been reached.
const PATIENCE: Duration = Duration::from_secs(2);

/// The times of a stream.
#[derive(Debug, Clone, Copy)]
pub struct FeedSettings {
    /// The longest time between two frames. Each stream draws its own, up to a tenth less, so that
    /// the checkpoints of many streams do not fall together.
    pub checkpoint_interval: Duration,
    /// How often the log is read without a commit of this process: what other replicas commit is
    /// seen after so long.
    pub poll_interval: Duration,
    /// A reader that takes nothing for so long is cut off.
    pub send_timeout: Duration,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(5),
            poll_interval: Duration::from_millis(500),
            send_timeout: Duration::from_secs(30),
        }
    }
}

/// Where a stream starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After a position.
    After(Position),
    /// With a snapshot.
    Snapshot,
}

impl Start {
    /// Reads where a follower asks to start.
    pub fn from_wire(start: Option<wire::FollowStart>) -> Result<Self, Status> {
        match start.and_then(|start| start.start) {
            Some(wire::follow_start::Start::After(position)) => {
                Ok(Self::After(read_position("start.after", &position)?))
            }
            Some(wire::follow_start::Start::Snapshot(_)) => Ok(Self::Snapshot),
            None => Err(invalid("start", "is missing")),
        }
    }
}

/// A part of a snapshot.
#[derive(Debug)]
pub struct SnapshotPage<P> {
    /// What is sent.
    pub part: P,
    /// How many items it has.
    pub items: u64,
    /// The key after which the next page begins; `None` on the last page.
    pub next_key: Option<String>,
}

/// Where the snapshot of a log comes from.
#[async_trait]
pub trait SnapshotPages: Send + Sync + 'static {
    /// What a page is sent as.
    type Part: Send;

    /// The items that hold at sequence `at` with keys after `after`, in the order of their keys.
    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<Self::Part>, StoreError>;
}

/// For a log whose state is nothing but its events: the snapshot is empty.
#[derive(Debug)]
pub struct NoSnapshot<P>(std::marker::PhantomData<fn() -> P>);

impl<P> Default for NoSnapshot<P> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[async_trait]
impl<P: Default + Send + 'static> SnapshotPages for NoSnapshot<P> {
    type Part = P;

    async fn page(
        &self,
        _at: Sequence,
        _after: Option<&str>,
    ) -> Result<SnapshotPage<P>, StoreError> {
        Ok(SnapshotPage {
            part: P::default(),
            items: 0,
            next_key: None,
        })
    }
}

/// Serves one log to any number of readers.
#[derive(Clone)]
pub struct Feed {
    store: Store,
    log: LogName,
    clock: Arc<dyn Clock>,
    draining: CancellationToken,
    settings: FeedSettings,
}

impl Feed {
    /// Serves `log` of `store`. When `draining` is cancelled, streams end with a place to resume.
    #[must_use]
    pub fn new(
        store: Store,
        log: LogName,
        clock: Arc<dyn Clock>,
        draining: CancellationToken,
    ) -> Self {
        Self {
            store,
            log,
            clock,
            draining,
            settings: FeedSettings::default(),
        }
    }

    /// The same with other times.
    #[must_use]
    pub fn with_settings(mut self, settings: FeedSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The last position of the log.
    pub async fn position(&self) -> Result<Position, StoreError> {
        Ok(self.head().await?.position)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let head = log::head(&mut conn, &self.log).await?;
        head.ok_or_else(|| StoreError::inconsistent("log_head", "a log that is served is missing"))
    }

    /// Waits until the log has reached `at_least`, for a short while.
    pub async fn wait_for(&self, at_least: Option<&wire::Position>) -> Result<(), Status> {
        let Some(at_least) = at_least else {
            return Ok(());
        };
        let wanted = read_position("at_least", at_least)?;
        let mut committed = self.store.committed().subscribe(&self.log);
        let reached = async {
            loop {
                committed.borrow_and_update();
                let head = self.position().await.map_err(|error| unavailable(&error))?;
                if !head.comparable(&wanted) {
                    return Err(other_epoch());
                }
                if head.sequence >= wanted.sequence {
                    return Ok(());
                }
                self.commit_or_poll(&mut committed).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        waited.unwrap_or_else(|_| Err(not_reached()))
    }

    async fn commit_or_poll(&self, committed: &mut watch::Receiver<Sequence>) {
        tokio::select! {
            _ = committed.changed() => {}
            () = tokio::time::sleep(self.settings.poll_interval) => {}
        }
    }

    /// The stream of a follow RPC. Its right is checked before every frame.
    pub async fn serve<R, S>(
        &self,
        start: Start,
        authorization: Authorization,
        snapshots: S,
    ) -> Result<FrameStream<R>, Status>
    where
        R: FollowResponse,
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let head = self.head().await.map_err(|error| unavailable(&error))?;
        if let Start::After(position) = &start {
            if !position.comparable(&head.position) {
                return Err(other_epoch());
            }
            if position.sequence > head.position.sequence {
                return Err(not_reached());
            }
        }
        // Two frames on the way: one that the transport takes, one that is being read.
        let (frames, receiver) = mpsc::channel(2);
        let last = Arc::new(OnceLock::new());
        let reader = Reader {
            feed: self.clone(),
            authorization,
            frames,
        };
        let last_status = Arc::clone(&last);
        let task = async move {
            if let Err(End::Status(status)) = reader.run(head, start, &snapshots).await {
                // Set once, by this task.
                let _ = last_status.set(status);
            }
        };
        tokio::spawn(task.in_current_span());
        Ok(FrameStream {
            frames: receiver,
            last,
        })
    }
}

/// Why a stream ends.
enum End {
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

struct Reader<R> {
    feed: Feed,
    authorization: Authorization,
    frames: mpsc::Sender<R>,
}

impl<R: FollowResponse> Reader<R> {
    async fn run<S>(self, head: Head, start: Start, snapshots: &S) -> Result<(), End>
    where
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let interval = self.feed.settings.checkpoint_interval;
        let interval = interval.mul_f64(rand::random_range(0.9..=1.0));
        let mut committed = self.feed.store.committed().subscribe(&self.feed.log);
        let mut directory = self.authorization.directory_changes();
        self.send(Frame::Hello(wire::StreamHello {
            head: Some(position_to_wire(&head.position)),
            checkpoint_interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
        }))
        .await?;
        let mut at = match start {
            Start::After(position) => position,
            Start::Snapshot => self.snapshot(head, snapshots).await?,
        };
        let mut next_checkpoint = tokio::time::Instant::now();
        loop {
            committed.borrow_and_update();
            directory.borrow_and_update();
            let looked = self.feed.clock.now();
            if self.tail(&mut at).await? {
                // Whoever was behind learns at once that it no longer is.
                next_checkpoint = tokio::time::Instant::now();
            }
            if tokio::time::Instant::now() >= next_checkpoint {
                let time = Some(timestamp_to_wire(looked));
                let position = Some(position_to_wire(&at));
                self.send(Frame::Checkpoint(wire::Checkpoint { position, time }))
                    .await?;
                next_checkpoint = tokio::time::Instant::now() + interval;
            }
            tokio::select! {
                () = self.frames.closed() => return Err(End::Gone),
                () = self.feed.draining.cancelled() => return self.drain(&at).await,
                () = self.feed.commit_or_poll(&mut committed) => {}
                _ = directory.changed() => self.allowed()?,
                () = tokio::time::sleep_until(next_checkpoint) => {}
            }
        }
    }

    /// Sends the whole snapshot and says where the tail begins.
    async fn snapshot<S>(&self, head: Head, snapshots: &S) -> Result<Position, End>
    where
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let mut after = None;
        let mut items = 0;
        loop {
            let page = snapshots
                .page(head.position.sequence, after.as_deref())
                .await?;
            items += page.items;
            if page.items > 0 {
                self.send_response(R::from_snapshot(page.part)).await?;
            }
            match page.next_key {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        self.send(Frame::SnapshotComplete(wire::SnapshotComplete {
            position: Some(position_to_wire(&head.position)),
            hash: head.hash.to_vec(),
            items,
        }))
        .await?;
        Ok(head.position)
    }

    /// Sends what follows `at` up to the head; says whether there was anything.
    async fn tail(&self, at: &mut Position) -> Result<bool, End> {
        let mut any = false;
        loop {
            if self.feed.draining.is_cancelled() {
                return Ok(any);
            }
            let events = {
                let readers = self.feed.store.readers();
                let mut conn = readers.acquire().await.map_err(StoreError::from)?;
                log::read(&mut conn, &self.feed.log, at.sequence, PageLimit::default()).await?
            };
            let Some(last) = events.last() else {
                return Ok(any);
            };
            let reached = last.sequence;
            let entries = events.into_iter().map(|event| entry(at, event)).collect();
            self.send(Frame::Entries(wire::LogEntries { entries }))
                .await?;
            at.sequence = reached;
            any = true;
        }
    }

    async fn drain(&self, at: &Position) -> Result<(), End> {
        let resume_after = Some(position_to_wire(at));
        self.send(Frame::Draining(wire::Draining { resume_after }))
            .await
    }

    async fn send(&self, frame: Frame) -> Result<(), End> {
        self.send_response(R::from_frame(frame)).await
    }

    async fn send_response(&self, response: R) -> Result<(), End> {
        self.allowed()?;
        let sent =
            tokio::time::timeout(self.feed.settings.send_timeout, self.frames.send(response));
        match sent.await {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => Err(End::Status(status::refusal(
                Code::Unavailable,
                ErrorReason::ReaderTooSlow,
                "the reader took nothing for too long; resume after the last position it applied",
            ))),
        }
    }

    fn allowed(&self) -> Result<(), End> {
        self.authorization
            .still_allowed()
            .map_err(|refusal| End::Status(refusal.into()))
    }
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
    frames: mpsc::Receiver<R>,
    last: Arc<OnceLock<Status>>,
}

impl<R> Stream for FrameStream<R> {
    type Item = Result<R, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_recv(cx).map(|frame| match frame {
            Some(frame) => Some(Ok(frame)),
            // The final status is read once; after it the stream has ended.
            None => Arc::get_mut(&mut self.last)
                .and_then(OnceLock::take)
                .map(Err),
        })
    }
}

fn read_position(field: &str, position: &wire::Position) -> Result<Position, Status> {
    position_from_wire(position).map_err(|error| invalid(field, &error.to_string()))
}

fn invalid(field: &str, problem: &str) -> Status {
    let mut errors = mesh_api::convert::FieldErrors::default();
    errors.add(field, problem);
    status::invalid_fields(&errors)
}

fn other_epoch() -> Status {
    status::refusal(
        Code::FailedPrecondition,
        ErrorReason::PositionOfAnotherEpoch,
        "the position belongs to another history of the log; start over with a snapshot",
    )
}

fn not_reached() -> Status {
    status::refusal(
        Code::OutOfRange,
        ErrorReason::PositionNotReached,
        "the log has not reached the position",
    )
}

fn unavailable(error: &StoreError) -> Status {
    tracing::error!(%error, source = std::error::Error::source(error).map(ToString::to_string), "the log cannot be read");
    status::refusal(
        Code::Unavailable,
        ErrorReason::StorageUnavailable,
        "the storage does not answer",
    )
}
