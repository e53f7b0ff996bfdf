//! How are subscriptions, logs and reduced Devices kept?
//!
//! All writes go through the one [`Batch`](mesh_store::Batch) in `store/batch.rs`; reads are here. Whether
//! the rows are what the logs say is compared in `store/fold.rs`; what is in no log is counted in
//! `store/promptness.rs`.

mod batch;
mod fold;
mod promptness;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use mesh_api::common::v1::{Resync, stream_frame::Frame};
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::csp_notification::v1 as wire;
use mesh_follow::{Notice, Notices, SNAPSHOT_ITEMS, SnapshotPage, SnapshotPages};
use mesh_store::cursor::{self, Cursor};
use mesh_store::dispute::{self, Dispute};
use mesh_store::log::{self, Head, PageLimit};
use mesh_store::sql::Conn;
use mesh_store::{Migrator, ReplicaId, Store, StoreError, replicas};
use mesh_types::{CspId, Position, Sequence};

use crate::subscription::{StreamNumber, Subscription, log_of};
use rows::{ReducedRow, SubscriptionRow};

pub use fold::foldings;

pub(crate) use batch::{Command, CspLogs, Done, FlagChange, Followed, SnapshotOfFlags};
pub(crate) use promptness::{promptness, promptness_after};

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The name under which this service's place in the log `flags` is kept.
pub(crate) const FOLLOWER: &str = "csp-notification";

/// How far the log `flags` was projected; `None` before its first event.
pub(crate) async fn projected(store: &Store) -> Result<Option<Cursor>, StoreError> {
    cursor::get(&mut *store.readers().acquire().await?, FOLLOWER).await
}

/// How far one CSP is; `None` if it has no subscription.
pub(crate) async fn subscription(
    store: &Store,
    csp: &CspId,
) -> Result<Option<Subscription>, StoreError> {
    let mut tx = store.snapshot().await?;
    let Some(row) = rows::subscription(&mut tx, csp).await? else {
        return Ok(None);
    };
    let present = replicas::present(&mut tx).await?;
    Ok(Some(with_log(&mut tx, row, &present).await?))
}

/// How far the CSPs with names after `after` are, in the order of their names.
pub(crate) async fn subscriptions(
    store: &Store,
    after: &str,
    limit: u32,
) -> Result<Vec<Subscription>, StoreError> {
    let mut tx = store.snapshot().await?;
    let rows = rows::subscriptions(&mut tx, after, limit).await?;
    let present = replicas::present(&mut tx).await?;
    let mut subscriptions = Vec::with_capacity(rows.len());
    for row in rows {
        subscriptions.push(with_log(&mut tx, row, &present).await?);
    }
    Ok(subscriptions)
}

/// Whether what a CSP says it has seen of its log changes what is disputed of that.
pub(crate) async fn is_news(store: &Store, csp: &CspId, seen: &Cursor) -> Result<bool, StoreError> {
    let mut tx = store.snapshot().await?;
    dispute::is_news(&mut tx, seen, csp.as_str()).await
}

/// The number of the stream that is each CSP's own.
pub(crate) async fn streams(store: &Store) -> Result<HashMap<CspId, StreamNumber>, StoreError> {
    rows::streams(&mut *store.readers().acquire().await?).await
}

/// What CSPs have seen of their logs and these lack.
pub(crate) async fn disputes(store: &Store) -> Result<Vec<Dispute>, StoreError> {
    let mut tx = store.snapshot().await?;
    dispute::all(&mut tx).await
}

/// `present` are the processes of which a stream can be.
async fn with_log(
    conn: &mut Conn,
    row: SubscriptionRow,
    present: &BTreeSet<ReplicaId>,
) -> Result<Subscription, StoreError> {
    let log = log_of(&row.csp);
    let Head { position: head, .. } = log::head(conn, &log)
        .await?
        .ok_or_else(|| StoreError::inconsistent(rows::SUBSCRIPTION, "one has no log"))?;
    let one = PageLimit {
        events: 1,
        octets: 0,
    };
    let next = log::read(conn, &log, row.acknowledged, one).await?;
    Ok(Subscription {
        oldest_unacknowledged: next.first().map(|event| event.recorded_time),
        disputed: dispute::of(conn, &log).await?,
        is_attached: row.attached_by.is_some_and(|by| present.contains(&by)),
        stream: row.stream,
        csp: row.csp,
        head,
        acknowledged: row.acknowledged,
        acknowledged_time: row.acknowledged_time,
        sent: row.sent,
    })
}

/// The snapshot of a CSP's log: the Devices that are reduced.
pub(crate) struct ReducedDevices {
    pub(crate) store: Store,
    pub(crate) csp: CspId,
}

#[async_trait]
impl SnapshotPages for ReducedDevices {
    type Part = wire::CspSnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<wire::CspSnapshot>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let after = after.unwrap_or_default();
        let limit = i64::from(SNAPSHOT_ITEMS);
        let rows = rows::reduced_at(&mut conn, &self.csp, at, after, limit).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == limit);
        let next_key = rows.last().filter(|_| full);
        Ok(SnapshotPage {
            next_key: next_key.map(|row| row.device.to_string()),
            items: rows.len() as u64,
            part: wire::CspSnapshot {
                devices: rows.iter().map(reduced_to_wire).collect(),
            },
        })
    }
}

/// The resyncs of a CSP's log, to be told on its streams.
pub(crate) struct Resyncs {
    pub(crate) store: Store,
    pub(crate) csp: CspId,
}

#[async_trait]
impl Notices for Resyncs {
    async fn next(&self, at: &Position, last: u64) -> Result<Option<Notice>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let row = rows::next_resync(&mut conn, &self.csp, at.sequence, last).await?;
        Ok(row.map(|row| {
            let position = Position {
                sequence: row.after,
                ..at.clone()
            };
            Notice {
                number: row.number,
                after: row.after,
                frame: Frame::Resync(Resync {
                    position: Some(position_to_wire(&position)),
                    differences: row.differences,
                    source_position: Some(position_to_wire(&row.flags)),
                    recorded_time: Some(timestamp_to_wire(row.recorded_time)),
                }),
            }
        }))
    }
}

fn reduced_to_wire(row: &ReducedRow) -> wire::ReducedDevice {
    let covered = row.known.covered.iter().map(ToString::to_string);
    wire::ReducedDevice {
        device_id: row.device.to_string(),
        device_type: row.known.device_type,
        covered_device_ids: covered.collect(),
        communications_hub_id: row.known.hub.to_string(),
        since_time: Some(timestamp_to_wire(row.known.since)),
        sequence: row.known.sequence,
    }
}
