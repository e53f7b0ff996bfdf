//! What somebody who follows a log has to say.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mesh_store::StoreError;
use mesh_store::cursor::Cursor;
use mesh_types::chain::Hash;
use mesh_types::{Sequence, Timestamp};

use crate::FollowResponse;

/// An event that was found contiguous with the one before and to fit the chain.
#[derive(Debug, Clone)]
pub struct LogEvent {
    /// Its number in the log.
    pub sequence: Sequence,
    /// The chain's hash after it.
    pub hash: Hash,
    /// The stored octets.
    pub event: Bytes,
}

/// Where a follower starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// With a snapshot.
    Snapshot,
    /// After what it has applied.
    After(Cursor),
    /// With the first event of the log.
    Start,
}

/// Why a follower cannot go on. The stream is ended and begun anew.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Its own store failed.
    #[error("the follower's store failed")]
    Store(#[from] StoreError),
    /// What was sent makes no sense: a gap, a hash that does not fit, an event that cannot be read.
    #[error("the log makes no sense: {0}")]
    Malformed(&'static str),
    /// Another replica has moved the cursor: ask it where to go on.
    #[error("another replica moved the cursor")]
    Stale,
}

/// Takes a log over. Its effects and its cursor belong in one transaction.
#[async_trait]
pub trait Follower: Send + 'static {
    /// The response message of the log's follow RPC.
    type Response: FollowResponse;

    /// Where to start. Asked whenever a connection is made.
    async fn begin(&mut self) -> Result<Begin, FollowError>;

    /// A part of the snapshot. What came of an earlier, unfinished one is to be dropped.
    async fn snapshot_part(
        &mut self,
        part: <Self::Response as FollowResponse>::Snapshot,
    ) -> Result<(), FollowError> {
        let _ = part;
        Err(FollowError::Malformed("a snapshot that nobody asked for"))
    }

    /// The snapshot is whole.
    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let _ = cursor;
        Err(FollowError::Malformed("a snapshot that nobody asked for"))
    }

    /// Events in order; `cursor` stands after the last of them. They are those that have come by
    /// now, of several frames perhaps, but fewer than two full ones hold.
    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError>;

    /// How long it rests after it has applied events, so that those which come quickly are applied
    /// together. One that comes alone waits for nothing.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }

    /// The owner of the log has answered. Unless the stream gives a sign of life in every
    /// `silence`, it is lost.
    fn connected(&mut self, silence: Duration) {
        let _ = silence;
    }

    /// As [`checkpoint`](Self::checkpoint), for those who need to know when the owner of the log
    /// looked.
    async fn checkpoint_at(&mut self, at: &Cursor, looked: Timestamp) -> Result<(), FollowError> {
        let _ = looked;
        self.checkpoint(at).await
    }

    /// Everything up to `at` was sent.
    async fn checkpoint(&mut self, at: &Cursor) -> Result<(), FollowError> {
        let _ = at;
        Ok(())
    }

    /// The owner of the log says that the cursor belongs to another history of it. Whether to
    /// start over: then `begin` must ask for something else.
    async fn other_history(&mut self) -> bool {
        false
    }

    /// The stream ended, however it did.
    fn disconnected(&mut self) {}
}
