//! A follower that records what reaches it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::common::v1::{self as common, follow_start::Start};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_follow::{Begin, FollowError, FollowedLog, Follower, FollowerStatus, LogEvent, follow};
use mesh_store::cursor::Cursor;
use mesh_testkit::{LIMIT, wait_until};
use mesh_types::{Sequence, SystemClock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::GrpcService;

use super::{Step, scripted};

/// What reached a follower.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) applied: Vec<Sequence>,
    /// How many events came at a time.
    pub(crate) together: Vec<usize>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) parts: usize,
    pub(crate) checkpoints: Vec<Sequence>,
    pub(crate) disconnected: usize,
    pub(crate) other_histories: usize,
    /// Answers the next so many `apply`s with an error.
    pub(crate) stale: usize,
    /// How long it rests after each `apply`.
    pub(crate) rest: Duration,
}

struct Recorder {
    record: Arc<Mutex<Record>>,
    begin: Begin,
}

#[async_trait]
impl Follower for Recorder {
    type Response = wire::FollowPartiesResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        let cursor = self.record.lock().unwrap().cursor.clone();
        Ok(cursor.map_or(self.begin.clone(), Begin::After))
    }

    async fn snapshot_part(&mut self, _part: wire::PartySnapshot) -> Result<(), FollowError> {
        self.record.lock().unwrap().parts += 1;
        Ok(())
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        self.record.lock().unwrap().cursor = Some(cursor);
        Ok(())
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut record = self.record.lock().unwrap();
        if record.stale > 0 {
            record.stale -= 1;
            return Err(FollowError::Stale);
        }
        let last = events.last().unwrap();
        assert_eq!(
            (last.sequence, last.hash),
            (cursor.position.sequence, cursor.hash)
        );
        record.together.push(events.len());
        record
            .applied
            .extend(events.iter().map(|event| event.sequence));
        record.cursor = Some(cursor);
        Ok(())
    }

    fn rest(&self) -> Duration {
        self.record.lock().unwrap().rest
    }

    async fn checkpoint(&mut self, at: &Cursor) -> Result<(), FollowError> {
        self.record
            .lock()
            .unwrap()
            .checkpoints
            .push(at.position.sequence);
        Ok(())
    }

    async fn other_history(&mut self) -> bool {
        let mut record = self.record.lock().unwrap();
        record.other_histories += 1;
        record.cursor = None;
        self.begin = Begin::Snapshot;
        true
    }

    fn disconnected(&mut self) {
        self.record.lock().unwrap().disconnected += 1;
    }
}

/// A follower at work on a scripted owner.
pub(crate) struct Following {
    pub(crate) record: Arc<Mutex<Record>>,
    log: FollowedLog,
    starts: Arc<Mutex<Vec<common::FollowStart>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    pub(crate) async fn begin(
        begin: Begin,
        script: impl Fn(usize, &common::FollowStart) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::with(begin, Record::default(), script).await
    }

    pub(crate) async fn with(
        begin: Begin,
        record: Record,
        script: impl Fn(usize, &common::FollowStart) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let (channel, _) = scripted(script).await;
        let client = PartyServiceClient::new(channel);
        Self::of(begin, record, move || client.clone())
    }

    /// At work on what `client` gives whenever a connection is made.
    pub(crate) fn of<T>(
        begin: Begin,
        record: Record,
        client: impl Fn() -> PartyServiceClient<T> + Send + Sync + 'static,
    ) -> Self
    where
        T: GrpcService<Body, ResponseBody = Body> + Send + 'static,
        T::Future: Send,
        T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let record = Arc::new(Mutex::new(record));
        let starts = Arc::<Mutex<Vec<common::FollowStart>>>::default();
        let follower = Recorder {
            record: Arc::clone(&record),
            begin,
        };
        let asked = Arc::clone(&starts);
        let connect = move |start: common::FollowStart| {
            asked.lock().unwrap().push(start.clone());
            let mut client = client();
            async move {
                let request = wire::FollowPartiesRequest { start: Some(start) };
                Ok(client.follow_parties(request).await?.into_inner())
            }
            .boxed()
        };
        let stop = CancellationToken::new();
        let log = FollowedLog::new("tests", "parties", Arc::new(SystemClock));
        let task = tokio::spawn(follow(log.clone(), follower, connect, stop.clone()));
        Self {
            record,
            log,
            starts,
            stop,
            task,
        }
    }

    /// Waits for a checkpoint, stops, and gives what was applied and where streams began: the
    /// sequence, or `None` for a snapshot.
    pub(crate) async fn until(
        self,
        checkpoint: Sequence,
    ) -> (Vec<Sequence>, Vec<Option<Sequence>>) {
        self.checkpoint(checkpoint).await;
        self.stop().await
    }

    /// Waits until following is in the state of this name.
    pub(crate) async fn becomes(&self, state: &str) -> FollowerStatus {
        let mut status = self.log.status();
        let reached = status.wait_for(|status| status.name() == state);
        let reached = tokio::time::timeout(LIMIT, reached).await;
        reached
            .expect("the state before the limit")
            .unwrap()
            .clone()
    }

    /// What streams were asked for with: the epoch and sequence of what was seen.
    pub(crate) fn seen(&self) -> Vec<Option<(u64, Sequence)>> {
        let place = |seen: common::Seen| seen.position.map(|at| (at.epoch, at.sequence));
        let starts = self.starts.lock().unwrap();
        let starts = starts.iter().map(|start| start.seen.clone());
        starts.map(|seen| seen.and_then(place)).collect()
    }

    pub(crate) async fn checkpoint(&self, checkpoint: Sequence) {
        wait_until("the checkpoint", async || {
            let record = self.record.lock().unwrap();
            match record.checkpoints.contains(&checkpoint) {
                true => Ok(()),
                false => Err(format!("{record:?}")),
            }
        })
        .await;
    }

    pub(crate) async fn stop(self) -> (Vec<Sequence>, Vec<Option<Sequence>>) {
        self.stop.cancel();
        let ended = tokio::time::timeout(LIMIT, self.task).await;
        ended.expect("the end before the limit").unwrap();
        let applied = self.record.lock().unwrap().applied.clone();
        let starts = self.starts.lock().unwrap();
        (applied, starts.iter().map(place).collect())
    }
}

/// The sequence after which a stream is asked to begin; `None` for a snapshot.
pub(crate) fn place(start: &common::FollowStart) -> Option<Sequence> {
    match start.start.as_ref().unwrap() {
        Start::After(position) => Some(position.sequence),
        Start::Snapshot(_) => None,
    }
}
