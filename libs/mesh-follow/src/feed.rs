//! Serving a log: snapshot, tail, checkpoints, and an end that says where to go on.

mod as_of;
mod asked;
mod notice;
mod reader;
mod snapshot;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mesh_api::common::v1::{self as wire, ErrorReason};
use mesh_api::convert::position_from_wire;
use mesh_api::status;
use mesh_authz::{Authorization, Caller};
use mesh_store::cursor::Cursor;
use mesh_store::log::{self, Head};
use mesh_store::{Seen, Store, StoreError, Trouble};
use mesh_types::{Clock, LogName, Position, Sequence, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::FollowResponse;
use reader::{End, Opening, Reader};

pub use as_of::AsOf;
pub use asked::{Asked, Start};
pub use notice::{Notice, Notices};
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

/// Serves one log to any number of readers.
#[derive(Clone)]
pub struct Feed {
    store: Store,
    log: LogName,
    clock: Arc<dyn Clock>,
    draining: CancellationToken,
    settings: FeedSettings,
    notices: Option<Arc<dyn Notices>>,
    source: Option<watch::Receiver<Option<Timestamp>>>,
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
            notices: None,
            source: None,
        }
    }

    /// The same with other times.
    #[must_use]
    pub fn with_settings(mut self, settings: FeedSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The same with notices between the events.
    #[must_use]
    pub fn with_notices(mut self, notices: Arc<dyn Notices>) -> Self {
        self.notices = Some(notices);
        self
    }

    /// The same for a log that is made of another one. `stale_since` says since when its owner has not
    /// been heard from; readers get that with the checkpoints, and a checkpoint when it changes.
    #[must_use]
    pub fn with_source(mut self, stale_since: watch::Receiver<Option<Timestamp>>) -> Self {
        self.source = Some(stale_since);
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
        asked: impl Into<Asked> + Send,
        authorization: Authorization,
        snapshots: S,
    ) -> Result<FrameStream<R>, Status>
    where
        R: FollowResponse,
        S: SnapshotPages<Part = R::Snapshot>,
    {
        let (head, opening) = self.open(asked.into(), authorization.caller()).await?;
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
                refusal = reader.feed.went_back() => Err(End::Status(refusal)),
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

    /// The head, and where the stream begins that `caller` asks for.
    async fn open(&self, asked: Asked, caller: &Caller) -> Result<(Head, Opening), Status> {
        let Asked { start, seen } = asked;
        // Heard first: an operator wants to know all that was seen, not what the first one saw.
        let judged = match &seen {
            Some(seen) => self.check_seen(seen, &start, caller).await,
            None => Ok(()),
        };
        self.check_sound()?;
        judged?;
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
        Ok((head, opening))
    }

    /// Judges what `caller` has seen of the log. A service of the mesh is believed: what it has seen
    /// and the log lacks stops all writing.
    async fn check_seen(
        &self,
        seen: &Cursor,
        start: &Start,
        caller: &Caller,
    ) -> Result<(), Status> {
        if seen.position.log != self.log {
            return Err(invalid("start.seen.position.log", "is another log"));
        }
        let judged = self.store.judge_seen(seen).await;
        match judged.map_err(|error| unavailable(&error))? {
            Seen::Fits => Ok(()),
            Seen::Accepted if start.goes_on() => Err(other_epoch()),
            Seen::Accepted => Ok(()),
            Seen::WentBack => {
                if let Some(service) = caller.service() {
                    self.store.went_back(seen, service.as_str());
                } else {
                    tracing::warn!(log = %self.log, seen = %seen.position, caller = caller.key(),
                        "somebody who is not believed says that the log went back");
                }
                Err(log_went_back())
            }
        }
    }

    /// Nobody follows a log that is known to have gone back: it would be led astray.
    fn check_sound(&self) -> Result<(), Status> {
        match self.store.condition().borrow().trouble() {
            Some(Trouble::WentBack { .. }) => Err(log_went_back()),
            _ => Ok(()),
        }
    }

    /// Resolves once the database is known to have gone back.
    async fn went_back(&self) -> Status {
        let mut condition = self.store.condition();
        loop {
            if let Err(refusal) = self.check_sound() {
                return refusal;
            }
            if condition.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
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

fn log_went_back() -> Status {
    status::refusal(
        Code::Unavailable,
        ErrorReason::LogWentBack,
        "the log went back behind what was seen of it; nobody follows it until an operator decides",
    )
}

fn unavailable(error: &StoreError) -> Status {
    tracing::error!(%error, source = std::error::Error::source(error).map(ToString::to_string), "the log cannot be read");
    if let StoreError::ClockNotBelieved(doubt) = error {
        return status::refusal(
            Code::Unavailable,
            ErrorReason::ClockNotBelieved,
            format!("what was known at that time cannot be said: {doubt}"),
        );
    }
    if let StoreError::WentBack { .. } = error {
        return log_went_back();
    }
    status::refusal(
        Code::Unavailable,
        ErrorReason::StorageUnavailable,
        "the storage does not answer",
    )
}
