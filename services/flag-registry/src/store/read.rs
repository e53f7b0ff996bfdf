//! What is read of the flags?
//!
//! Every read names the position that it shows, so that several reads agree.

use std::collections::HashMap;

use mesh_api::flag_registry::v1::FlagEvent;
use mesh_store::cursor::{self, Cursor};
use mesh_store::log::{self, Head};
use mesh_store::sql::{QueryBuilder, ask, query_as, query_scalar};
use mesh_store::{CURRENT, StoreError, sequence_from_db, sequence_to_db};
use mesh_types::{CspId, DeviceId, PartyId, Sequence, Timestamp};
use prost::Message as _;

use super::rows::{self, EntryRow, SELECT, TABLE};
use super::tenure;
use super::{DEVICES_FOLLOWER, FlagStore};
use crate::flag::Entry;

/// Which entries a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryFilter {
    /// Only those of this Responsible Supplier.
    pub supplier: Option<PartyId>,
    /// And of those, only the ones that it is responsible for now.
    pub still: bool,
    /// Only those in this state.
    pub flagged: Option<bool>,
    /// Only those on the hubs of this CSP.
    pub csp: Option<CspId>,
}

/// Of an entry's Device, what holds now; its supplier follows.
const STILL: &str = " AND EXISTS (SELECT 1 FROM flag_entry AS now \
     WHERE now.device = flag_entry.device AND now.to_sequence = ";

/// A page of a Device's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The events, newest first.
    pub events: Vec<FlagEvent>,
    /// The oldest of them, if there are older ones.
    pub next_before: Option<Sequence>,
}

impl FlagStore {
    /// The end of the log.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let mut conn = self.database().readers().acquire().await?;
        log::head(&mut conn, self.log())
            .await?
            .ok_or_else(|| StoreError::inconsistent("log_head", "the log does not exist"))
    }

    /// The entries that hold at `at` of those of `devices` that have one.
    pub async fn entries(
        &self,
        devices: &[DeviceId],
        at: Sequence,
    ) -> Result<HashMap<DeviceId, Entry>, StoreError> {
        let mut conn = self.database().readers().acquire().await?;
        let entries = ask(&mut conn, rows::of_devices(devices, sequence_to_db(at))).await?;
        Ok(entries
            .into_iter()
            .map(|entry| (entry.device, entry))
            .collect())
    }

    /// At most `limit` entries that hold at `at`, in the order of their Devices, from the one after
    /// `after` on.
    pub async fn list(
        &self,
        filter: &EntryFilter,
        at: Sequence,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let at = sequence_to_db(at);
        let mut query = QueryBuilder::new(SELECT);
        query.push("WHERE from_sequence <= ").push_bind(at);
        query.push(" AND to_sequence > ").push_bind(at);
        if let Some(after) = after {
            query.push(" AND device > ").push_bind(after.to_string());
        }
        if let Some(supplier) = &filter.supplier {
            query
                .push(" AND supplier = ")
                .push_bind(supplier.to_string());
            if filter.still {
                query.push(STILL).push_bind(CURRENT);
                query.push(" AND now.supplier = ");
                query.push_bind(supplier.to_string()).push(")");
            }
        }
        if let Some(flagged) = filter.flagged {
            query.push(" AND flagged = ").push_bind(flagged);
        }
        if let Some(csp) = &filter.csp {
            query.push(" AND csp = ").push_bind(csp.to_string());
        }
        query.push(" ORDER BY device LIMIT ");
        query.push_bind(i64::from(limit));
        let mut conn = self.database().readers().acquire().await?;
        let rows: Vec<EntryRow> = query.build_query_as().fetch_all(&mut conn).await?;
        rows.into_iter().map(EntryRow::read).collect()
    }

    /// At most `limit` events about a Device up to `at`, newest first, from the one before
    /// `before` on.
    pub async fn history(
        &self,
        device: DeviceId,
        at: Sequence,
        before: Option<Sequence>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        // Every event about a Device made a version of its entry.
        let last = before.map_or(at, |before| at.min(before.saturating_sub(1)));
        let mut conn = self.database().readers().acquire().await?;
        let mut rows: Vec<(i64, Vec<u8>)> = query_as(
            "SELECT log_event.sequence, log_event.event FROM flag_entry \
             JOIN log_event ON log_event.log = $1 \
             AND log_event.sequence = flag_entry.from_sequence \
             WHERE flag_entry.device = $2 AND flag_entry.from_sequence <= $3 \
             ORDER BY flag_entry.from_sequence DESC LIMIT $4",
        )
        .bind(self.log().as_str())
        .bind(device.to_string())
        .bind(sequence_to_db(last))
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut conn)
        .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let oldest = rows.last().map(|(sequence, _)| *sequence);
        let next_before = oldest
            .filter(|_| more)
            .map(|sequence| sequence_from_db(TABLE, sequence));
        let events = rows.iter().map(|(_, event)| {
            FlagEvent::decode(event.as_slice())
                .map_err(|_| StoreError::inconsistent("log_event", "an event is malformed"))
        });
        Ok(HistoryPage {
            events: events.collect::<Result<_, _>>()?,
            next_before: next_before.transpose()?,
        })
    }

    /// Whether `party` is the supplier of `device` according to the Device's own history, and known to
    /// be responsible at `now` still. A Device without a history has none. One statement that gives
    /// no row of another's Device, so that it cannot be told from one that has no history.
    pub async fn is_followed(
        &self,
        party: &PartyId,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut conn = self.database().readers().acquire().await?;
        let found: Option<i64> = query_scalar(tenure::IS_HELD)
            .bind(device.to_string())
            .bind(CURRENT)
            .bind(party.as_str())
            .bind(now.micros())
            .fetch_optional(&mut conn)
            .await?;
        Ok(found.is_some())
    }

    /// How many Devices are flagged now, by their supplier; `None` stands for those that have none.
    pub async fn flagged_by_supplier(&self) -> Result<Vec<(Option<PartyId>, u64)>, StoreError> {
        let mut conn = self.database().readers().acquire().await?;
        let rows: Vec<(String, i64)> = query_as(
            "SELECT supplier, COUNT(*) FROM flag_entry WHERE to_sequence = $1 AND flagged = $2 \
             GROUP BY supplier",
        )
        .bind(CURRENT)
        .bind(true)
        .fetch_all(&mut conn)
        .await?;
        let counted = rows.into_iter().map(|(supplier, flags)| {
            let supplier = rows::optional(&supplier)?;
            Ok((supplier, sequence_from_db(TABLE, flags)?))
        });
        counted.collect()
    }

    /// How far the follower of the log `devices` has come.
    pub async fn devices_cursor(&self) -> Result<Option<Cursor>, StoreError> {
        let mut conn = self.database().readers().acquire().await?;
        cursor::get(&mut conn, DEVICES_FOLLOWER).await
    }
}
