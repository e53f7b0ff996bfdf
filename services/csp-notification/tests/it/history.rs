//! The flags of a log, and a new history of it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh_api::flag_registry::v1::{FlagEntry, FlagEvent, FlagSnapshot, FlagState};
use mesh_follow::{SNAPSHOT_ITEMS, SnapshotPage, SnapshotPages};
use mesh_store::sql::{Conn, query};
use mesh_store::{Store, StoreError, log, sequence_to_db};
use mesh_types::{LogName, Sequence, Timestamp};
use prost::Message as _;

use crate::neighbours::Neighbour;

/// The flagged Devices at any event of `flags`.
#[derive(Clone)]
pub(crate) struct Flags(pub(crate) Store);

impl Flags {
    /// They are found by folding the log.
    async fn at(&self, at: Sequence) -> Result<BTreeMap<String, FlagEntry>, StoreError> {
        let mut flagged = BTreeMap::new();
        let all = log::PageLimit {
            events: u32::MAX,
            octets: usize::MAX,
        };
        let mut conn = self.0.readers().acquire().await?;
        let events = log::read(&mut conn, &"flags".parse().unwrap(), 0, all).await?;
        for event in events.iter().take_while(|event| event.sequence <= at) {
            let event = FlagEvent::decode(event.event.as_slice()).unwrap();
            let current = event.current.unwrap();
            if current.state() == FlagState::Flagged {
                let entry = FlagEntry {
                    device_id: event.device_id.clone(),
                    device_type: event.device_type,
                    state: current.state,
                    covered_device_ids: current.covered_device_ids,
                    communications_hub_id: current.communications_hub_id,
                    csp_id: current.csp_id,
                    since_time: event.effective_time,
                    ..FlagEntry::default()
                };
                flagged.insert(event.device_id, entry);
            } else {
                flagged.remove(&event.device_id);
            }
        }
        Ok(flagged)
    }
}

#[async_trait]
impl SnapshotPages for Flags {
    type Part = FlagSnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<FlagSnapshot>, StoreError> {
        let flagged = self.at(at).await?.into_values();
        let rest =
            flagged.filter(|entry| after.is_none_or(|after| entry.device_id.as_str() > after));
        let entries: Vec<_> = rest.take(SNAPSHOT_ITEMS as usize).collect();
        let full = entries.len() == SNAPSHOT_ITEMS as usize;
        let next_key = entries.last().filter(|_| full);
        Ok(SnapshotPage {
            items: entries.len() as u64,
            next_key: next_key.map(|entry| entry.device_id.clone()),
            part: FlagSnapshot { entries },
        })
    }
}

impl Neighbour {
    /// The events after `kept` are lost, an operator accepts that, and `others` come in their place.
    pub(crate) async fn new_history(&mut self, kept: Sequence, others: &[FlagEvent]) {
        self.restart(async |store, log| {
            let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
            lose(tx.conn(), log, kept).await.unwrap();
            tx.commit().await.unwrap();
            let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
            tx.lock(log).await.unwrap();
            for event in others {
                tx.append(log, |_| event.encode_to_vec()).unwrap();
            }
            tx.commit().await.unwrap();
        })
        .await;
    }

    /// Each flagged Device on the hubs of `csp`, with its hub and what its flag covers besides.
    pub(crate) async fn flagged(&self, csp: &str) -> BTreeMap<String, (String, Vec<String>)> {
        let flagged = Flags(self.store.clone()).at(Sequence::MAX).await.unwrap();
        let of = flagged.into_values().filter(|entry| entry.csp_id == csp);
        of.map(|entry| {
            let place = (entry.communications_hub_id, entry.covered_device_ids);
            (entry.device_id, place)
        })
        .collect()
    }
}

/// Cuts the log off, and begins a new history of it.
async fn lose(conn: &mut Conn, log: &LogName, kept: Sequence) -> Result<(), StoreError> {
    let head = log::head(conn, log).await?.unwrap();
    let hash = log::hash_at(conn, log, kept).await?.unwrap();
    let (old, new) = (head.position.epoch, log::random_epoch());
    query("DELETE FROM log_event WHERE log = $1 AND sequence > $2")
        .bind(log.as_str())
        .bind(sequence_to_db(kept))
        .execute(&mut *conn)
        .await?;
    query("UPDATE log_head SET epoch = $2, sequence = $3, hash = $4 WHERE log = $1")
        .bind(log.as_str())
        .bind(sequence_to_db(new.get()))
        .bind(sequence_to_db(kept))
        .bind(hash.as_slice())
        .execute(&mut *conn)
        .await?;
    query(
        "INSERT INTO log_history \
         (log, epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason) \
         VALUES ($1, $2, $3, $4, $5, 1, 'an operator', 'a test')",
    )
    .bind(log.as_str())
    .bind(sequence_to_db(old.get()))
    .bind(sequence_to_db(kept))
    .bind(sequence_to_db(head.position.sequence))
    .bind(sequence_to_db(new.get()))
    .execute(conn)
    .await?;
    Ok(())
}
