//! The follower of the log `parties` that keeps a service's party directory.

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use http_body::Body as HttpBody;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_authz::Directory;
use mesh_store::cursor::Cursor;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::{Begin, FollowError, FollowedLog, Follower, LogEvent, follow};

struct DirectoryFollower {
    directory: Directory,
    loading: Vec<wire::Party>,
    at: Option<Cursor>,
}

/// Keeps `directory` as registration has it, which `log` (`parties`) tells, until `stop` is cancelled. With registration out of
/// reach the directory stays as it was last known.
pub async fn follow_directory<T>(
    channel: T,
    directory: Directory,
    log: FollowedLog,
    stop: CancellationToken,
) where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Future: Send,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let client = PartyServiceClient::new(channel);
    let follower = DirectoryFollower {
        directory,
        loading: Vec::new(),
        at: None,
    };
    let connect = move |start| {
        let mut client = client.clone();
        async move {
            let request = wire::FollowPartiesRequest { start: Some(start) };
            Ok(client.follow_parties(request).await?.into_inner())
        }
        .boxed()
    };
    follow(log, follower, connect, stop).await;
}

#[async_trait]
impl Follower for DirectoryFollower {
    type Response = wire::FollowPartiesResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.loading.clear();
        Ok(self.at.clone().map_or(Begin::Snapshot, Begin::After))
    }

    async fn snapshot_part(&mut self, part: wire::PartySnapshot) -> Result<(), FollowError> {
        self.loading.extend(part.parties);
        Ok(())
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let loaded = self.directory.load(&self.loading);
        loaded.map_err(|_| FollowError::Malformed("a party in the snapshot"))?;
        self.loading = Vec::new();
        self.at = Some(cursor);
        Ok(())
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut parties = Vec::with_capacity(events.len());
        for event in events {
            let event = wire::PartyEvent::decode(event.event)
                .map_err(|_| FollowError::Malformed("an event of `parties`"))?;
            parties.push(
                event
                    .party
                    .ok_or(FollowError::Malformed("an event without a party"))?,
            );
        }
        let applied = self.directory.apply(&parties);
        applied.map_err(|_| FollowError::Malformed("a party in an event"))?;
        self.at = Some(cursor);
        Ok(())
    }

    async fn other_history(&mut self) -> bool {
        self.at = None;
        true
    }
}
