//! How does the service keep up with registration, and what does it offer those who follow it?

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::flag_registry::v1::FlagSnapshot;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_authz::FollowedSupplier;
use mesh_follow::{
    Begin, FollowError, FollowedLog, Follower, LogEvent, SNAPSHOT_ITEMS, SnapshotPage,
    SnapshotPages, follow,
};
use mesh_rpc::MeshChannel;
use mesh_store::StoreError;
use mesh_store::cursor::{Advance, Cursor};
use mesh_types::{Clock, DeviceId, PartyId, Sequence};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::{DeviceEvent, News};
use crate::store::{EntryFilter, FlagStore, FollowedBatch};
use crate::wire::entry;

/// Follows the log `devices` from its first event on, until `stop` is cancelled.
pub async fn follow_devices(
    channel: MeshChannel,
    store: FlagStore,
    clock: Arc<dyn Clock>,
    log: FollowedLog,
    stop: CancellationToken,
) {
    let client = DeviceServiceClient::new(channel);
    let connect = move |start| {
        let mut client = client.clone();
        async move {
            let request = wire::FollowDevicesRequest { start: Some(start) };
            Ok(client.follow_devices(request).await?.into_inner())
        }
        .boxed()
    };
    let follower = DeviceFollower {
        store,
        clock,
        cursor: None,
        resync: None,
    };
    follow(log, follower, connect, stop).await;
}

struct DeviceFollower {
    store: FlagStore,
    clock: Arc<dyn Clock>,
    /// Where the stored cursor stands, as far as this follower knows.
    cursor: Option<Cursor>,
    /// What a snapshot says of Devices with a history, while one is under way: registration has
    /// another history, so that its events cannot be compared with what entries rest on.
    resync: Option<Vec<DeviceEvent>>,
}

#[async_trait]
impl Follower for DeviceFollower {
    type Response = wire::FollowDevicesResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.cursor = self.store.devices_cursor().await?;
        if let Some(found) = &mut self.resync {
            found.clear();
            return Ok(Begin::Snapshot);
        }
        Ok(self.cursor.clone().map_or(Begin::Start, Begin::After))
    }

    async fn snapshot_part(&mut self, part: wire::DeviceSnapshot) -> Result<(), FollowError> {
        let at = self.clock.now();
        let mut events = Vec::with_capacity(part.devices.len());
        for state in part.devices {
            let event = DeviceEvent::of_state(state, at).map_err(|error| malformed(&error))?;
            events.push(event);
        }
        let devices: Vec<DeviceId> = events.iter().filter_map(DeviceEvent::meter).collect();
        let head = self.store.head().await?.position.sequence;
        let known = self.store.entries(&devices, head).await?;
        events.retain(|event| {
            event
                .meter()
                .is_some_and(|device| known.contains_key(&device))
        });
        if let Some(found) = &mut self.resync {
            found.append(&mut events);
        }
        Ok(())
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let events = self.resync.take().unwrap_or_default();
        let sequence = cursor.position.sequence;
        let events = events.into_iter().map(|event| (sequence, event)).collect();
        self.step(events, cursor).await
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut read = Vec::with_capacity(events.len());
        for event in events {
            let decoded = wire::DeviceEvent::decode(event.event)
                .map_err(|_| FollowError::Malformed("an event cannot be decoded"))?;
            let decoded = DeviceEvent::read(&decoded).map_err(|error| malformed(&error))?;
            if decoded.news != News::Nothing {
                read.push((event.sequence, decoded));
            }
        }
        self.step(read, cursor).await
    }

    async fn other_history(&mut self) -> bool {
        tracing::error!("registration has another history: all entries are compared with it");
        self.resync = Some(Vec::new());
        true
    }
}

impl DeviceFollower {
    async fn step(
        &mut self,
        events: Vec<(Sequence, DeviceEvent)>,
        to: Cursor,
    ) -> Result<(), FollowError> {
        let from = self.cursor.clone();
        let batch = FollowedBatch {
            from,
            to: to.clone(),
            events,
        };
        match self.store.follow(batch).await? {
            Advance::Moved => {
                self.cursor = Some(to);
                Ok(())
            }
            Advance::Stale => Err(FollowError::Stale),
        }
    }
}

fn malformed(error: &crate::facts::MalformedRecord) -> FollowError {
    tracing::error!(%error, "an event of the log devices cannot be read");
    FollowError::Malformed("an event is malformed")
}

/// The suppliers as the flags' own histories have them, for reads while registration is out of
/// reach.
pub struct FollowedSuppliers {
    store: FlagStore,
    clock: Arc<dyn Clock>,
}

impl FollowedSuppliers {
    /// Those in `store` at the time that `clock` shows.
    #[must_use]
    pub fn new(store: FlagStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl FollowedSupplier for FollowedSuppliers {
    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool {
        let now = self.clock.now();
        let found = self.store.is_followed(party, device, now).await;
        found.unwrap_or_else(|error| {
            tracing::error!(%error, "the followed supplier cannot be read");
            false
        })
    }
}

/// A snapshot of the flags: what is flagged.
#[async_trait]
impl SnapshotPages for FlagStore {
    type Part = FlagSnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<FlagSnapshot>, StoreError> {
        let after = after
            .map(str::parse)
            .transpose()
            .map_err(|_| StoreError::inconsistent("flag_entry", "a snapshot's key is malformed"))?;
        let flagged = EntryFilter {
            flagged: Some(true),
            ..EntryFilter::default()
        };
        let entries = self.list(&flagged, at, after, SNAPSHOT_ITEMS).await?;
        let full = entries.len() == usize::try_from(SNAPSHOT_ITEMS).unwrap_or(usize::MAX);
        let last = entries.last().filter(|_| full);
        Ok(SnapshotPage {
            items: entries.len() as u64,
            next_key: last.map(|entry| entry.device.to_string()),
            part: FlagSnapshot {
                entries: entries.iter().map(entry).collect(),
            },
        })
    }
}
