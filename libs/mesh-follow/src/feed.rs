//! Serving a log: snapshot, tail, checkpoints, and an end that says where to go on.

mod as_of;
mod reader;
mod snapshot;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mesh_api::common::v1::{self as wire, ErrorReason};
use mesh_api::convert::position_from_wire;
use mesh_api::status;
use mesh_authz::Authorization;
use mesh_store::cursor::Cursor;
use mesh_store::log::{self, Head};
use mesh_store::{Store, StoreError};
use mesh_types::{Clock, LogName, Position, Sequence};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::FollowResponse;
use reader::{End, Opening, Reader};

pub use as_of::AsOf;
pub use reader::FrameStream;
pub use snapshot::{NoSnapshot, SNAPSHOT_ITEMS, SnapshotPage, SnapshotPages};

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
    /// With a snapshot of the last position.
    Snapshot,
    /// With a snapshot of an earlier position.
    SnapshotAt(Position),
}

impl Start {
    /// Reads where a follower asks to start.
    pub fn from_wire(start: Option<wire::FollowStart>) -> Result<Self, Status> {
        match start.and_then(|start| start.start) {
            Some(wire::follow_start::Start::After(position)) => {
                Ok(Self::After(read_position("start.after", &position)?))
            }
            Some(wire::follow_start::Start::Snapshot(snapshot)) => {
                Self::snapshot("start.snapshot.position", &snapshot)
            }
            None => Err(invalid("start", "is missing")),
        }
    }

    /// Reads which snapshot a follower asks for; `field` is the path of its position.
    pub fn snapshot(field: &str, asked: &wire::SnapshotStart) -> Result<Self, Status> {
        match &asked.position {
            Some(position) => Ok(Self::SnapshotAt(read_position(field, position)?)),
            None => Ok(Self::Snapshot),
        }
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
        self.reach(&read_position("at_least", at_least)?).await
    }

    async fn reach(&self, wanted: &Position) -> Result<(), Status> {
        let mut committed = self.store.committed().subscribe(&self.log);
        let reached = async {
            loop {
                committed.borrow_and_update();
                let head = self.position().await.map_err(|error| unavailable(&error))?;
                if !head.comparable(wanted) {
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
        let (head, opening) = self.open(start).await?;
        // One frame waits while the transport sends another.
        let (frames, receiver) = mpsc::channel(1);
        let end = Arc::new(OnceLock::new());
        let stream = FrameStream {
            frames: receiver,
            end: Some(Arc::clone(&end)),
        };
        let reader = Reader {
            feed: self.clone(),
            authorization,
            frames,
        };
        let task = async move {
            let ended = tokio::select! {
                biased;
                refusal = reader.revoked() => Err(End::Status(refusal)),
                ended = reader.run(head, opening, &snapshots) => ended,
            };
            let status = match ended {
                Ok(()) | Err(End::Gone) => None,
                Err(End::Status(status)) => Some(status),
            };
            // Set once, by this task, and before the reader closes the stream by its going.
            let _ = end.set(status);
            drop(reader);
        };
        tokio::spawn(task.in_current_span());
        Ok(stream)
    }

    /// The head, and where a stream that starts at `start` begins.
    async fn open(&self, start: Start) -> Result<(Position, Opening), Status> {
        if let Start::SnapshotAt(position) = &start {
            self.reach(position).await?;
        }
        let failed = |error: StoreError| unavailable(&error);
        let head = self.head().await.map_err(failed)?;
        let opening = match start {
            Start::After(position) if !position.comparable(&head.position) => {
                return Err(other_epoch());
            }
            Start::After(position) if position.sequence > head.position.sequence => {
                return Err(not_reached());
            }
            Start::After(position) => Opening::After(position),
            Start::Snapshot => Opening::Snapshot(Cursor {
                position: head.position.clone(),
                hash: head.hash,
            }),
            Start::SnapshotAt(position) => {
                Opening::Snapshot(self.cursor_at(position).await.map_err(failed)?)
            }
        };
        Ok((head.position, opening))
    }

    async fn cursor_at(&self, position: Position) -> Result<Cursor, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let hash = log::hash_at(&mut conn, &self.log, position.sequence).await?;
        let missing = || StoreError::inconsistent("log_event", "a reached position is missing");
        Ok(Cursor {
            hash: hash.ok_or_else(missing)?,
            position,
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
    if let StoreError::WentBack { .. } = error {
        return status::refusal(
            Code::Unavailable,
            ErrorReason::LogWentBack,
            "the log went back; nobody follows it until an operator decides",
        );
    }
    status::refusal(
        Code::Unavailable,
        ErrorReason::StorageUnavailable,
        "the storage does not answer",
    )
}
