//! Following the log `devices`: a snapshot at the first start, then what changes.

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_follow::{Begin, FollowError, FollowedLog, Follower, LogEvent, follow};
use mesh_rpc::MeshChannel;
use mesh_store::cursor::Cursor;
use mesh_types::Timestamp;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{REST, apply_span, before};
use crate::obligation::{Meter, MeterEvent};
use crate::store::{ReportStore, Step};

/// Follows the log until `stop` is cancelled.
pub async fn follow_devices(
    channel: MeshChannel,
    store: ReportStore,
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
    let follower = DevicesFollower {
        store,
        at: None,
        anew: false,
        loader: rand::random(),
    };
    follow(log, follower, connect, stop).await;
}

struct DevicesFollower {
    store: ReportStore,
    /// Where the stored cursor stands, as far as this follower knows.
    at: Option<Cursor>,
    /// Whether the log has another history than the one that was applied.
    anew: bool,
    /// Tells what arrives here from what arrives at another replica.
    loader: i64,
}

#[async_trait]
impl Follower for DevicesFollower {
    type Response = wire::FollowDevicesResponse;

    async fn begin(&mut self) -> Result<Begin, FollowError> {
        self.at = self.store.devices_cursor().await?;
        match &self.at {
            Some(cursor) if !self.anew => Ok(Begin::After(cursor.clone())),
            _ => {
                self.store.drop_arrived(self.loader).await?;
                Ok(Begin::Snapshot)
            }
        }
    }

    async fn snapshot_part(&mut self, part: wire::DeviceSnapshot) -> Result<(), FollowError> {
        let mut meters = Vec::with_capacity(part.devices.len());
        for state in part.devices {
            let meter = Meter::read(state.device.as_ref(), &state.responsible_party_id)
                .map_err(|_| FollowError::Malformed("a Device in the snapshot"))?;
            meters.extend(meter);
        }
        Ok(self.store.arrive(self.loader, meters).await?)
    }

    async fn snapshot_complete(&mut self, cursor: Cursor) -> Result<(), FollowError> {
        let step = self.step_to(&cursor);
        self.store.load_arrived(self.loader, step).await??;
        self.at = Some(cursor);
        self.anew = false;
        Ok(())
    }

    fn rest(&self) -> Duration {
        REST
    }

    async fn apply(&mut self, events: Vec<LogEvent>, cursor: Cursor) -> Result<(), FollowError> {
        let mut read = Vec::with_capacity(events.len());
        let mut causes = Vec::with_capacity(events.len());
        for event in events {
            let event = wire::DeviceEvent::decode(event.event)
                .map_err(|_| FollowError::Malformed("an event of `devices`"))?;
            read.push(
                MeterEvent::read(&event)
                    .map_err(|_| FollowError::Malformed("an event of `devices`"))?,
            );
            causes.push(event.trace_parent);
        }
        let span = apply_span("devices", causes.iter().map(String::as_str));
        let applied = self.store.apply_meters(self.step_to(&cursor), read);
        applied.instrument(span).await??;
        self.at = Some(cursor);
        Ok(())
    }

    async fn checkpoint_at(&mut self, at: &Cursor, looked: Timestamp) -> Result<(), FollowError> {
        let known = self.store.devices_known(at, before(looked), looked);
        Ok(known.await?)
    }

    async fn other_history(&mut self) -> bool {
        tracing::error!("the log devices has another history: meters are loaded anew");
        self.anew = true;
        true
    }
}

impl DevicesFollower {
    fn step_to(&self, cursor: &Cursor) -> Step {
        Step {
            from: self.at.clone(),
            to: cursor.clone(),
        }
    }
}
