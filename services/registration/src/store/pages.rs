//! What does a snapshot of each log hold, page by page?

use async_trait::async_trait;
use mesh_api::registration::v1 as wire;
use mesh_follow::{SNAPSHOT_ITEMS, SnapshotPage, SnapshotPages};
use mesh_store::StoreError;
use mesh_store::log;
use mesh_types::{Sequence, Timestamp};

use super::Inventory;
use super::read::{Context, Page, Recorded, device_page};
use crate::device::Device;
use crate::wire::{device_to_wire, party_to_wire};

/// The snapshot of the log `parties`.
#[derive(Debug, Clone)]
pub(crate) struct PartyPages(pub(crate) Inventory);

/// The snapshot of the log `devices`.
#[derive(Debug, Clone)]
pub(crate) struct DevicePages(pub(crate) Inventory);

#[async_trait]
impl SnapshotPages for PartyPages {
    type Part = wire::PartySnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<Self::Part>, StoreError> {
        let limit = SNAPSHOT_ITEMS;
        let parties = self.0.party_page(Page { at, after, limit }).await?;
        let next_key = next_key(&parties, |party| party.id.to_string());
        let items = parties.len() as u64;
        let parties = parties
            .iter()
            .map(|party| party_to_wire(&party.value, party.since))
            .collect();
        Ok(SnapshotPage {
            part: wire::PartySnapshot { parties },
            items,
            next_key,
        })
    }
}

#[async_trait]
impl SnapshotPages for DevicePages {
    type Part = wire::DeviceSnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<Self::Part>, StoreError> {
        let mut conn = self.0.store.readers().acquire().await?;
        let limit = SNAPSHOT_ITEMS;
        let devices = device_page(&mut conn, None, Page { at, after, limit }).await?;
        let context = Context::of(&mut conn, &devices, at).await?;
        let known = self.recorded_time(&mut conn, at).await?;
        let next_key = next_key(&devices, |device: &Device| device.id.to_string());
        let items = devices.len() as u64;
        let devices = devices
            .iter()
            .map(|device| state(device, &context, known))
            .collect();
        Ok(SnapshotPage {
            part: wire::DeviceSnapshot { devices },
            items,
            next_key,
        })
    }
}

impl DevicePages {
    /// When the event at `at` was recorded. A snapshot shows who was responsible then: what has
    /// taken effect since stands in the tail that follows it.
    async fn recorded_time(
        &self,
        conn: &mut mesh_store::sql::Conn,
        at: Sequence,
    ) -> Result<Timestamp, StoreError> {
        if at == 0 {
            return Ok(Timestamp::from_micros(i64::MIN));
        }
        let recorded = log::recorded_at(conn, &self.0.logs.devices, at).await?;
        recorded.ok_or_else(|| {
            StoreError::inconsistent("log_event", "a snapshot was asked for beyond the head")
        })
    }
}

fn state(device: &Recorded<Device>, context: &Context, at: Timestamp) -> wire::DeviceState {
    let hub = context.hub(&device.value);
    let csp = hub.and_then(|hub| hub.value.csp.as_ref());
    let responsible = context.authority(&device.value, at).registration;
    wire::DeviceState {
        device: Some(device_to_wire(&device.value, device.since)),
        csp_id: csp.map(ToString::to_string).unwrap_or_default(),
        responsible_party_id: responsible
            .map(|registration| registration.party.to_string())
            .unwrap_or_default(),
    }
}

/// The last key of a full page.
fn next_key<T>(page: &[Recorded<T>], key: impl Fn(&T) -> String) -> Option<String> {
    let full = page.len() as u64 == u64::from(SNAPSHOT_ITEMS);
    page.last().filter(|_| full).map(|last| key(&last.value))
}
