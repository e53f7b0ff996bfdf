//! Correcting every CSP's log after a snapshot of a new history of `flags`.

use std::collections::BTreeMap;
use std::ops::Bound;

use mesh_store::cursor::{self, Advance};
use mesh_store::{StoreError, WriteTx};
use mesh_types::{CspId, DeviceId, Sequence};

use super::{SnapshotOfFlags, Work};
use crate::error::Error;
use crate::resync::{Flagged, differences};
use crate::store::FOLLOWER;
use crate::store::rows::{self, ResyncRow};
use crate::subscription::log_of;

/// How many rows of what a CSP knows are compared at once.
const PAGE: i64 = 4096;

impl Work {
    /// Tells every CSP how what it knows differs from the snapshot, and records that it was
    /// compared, also where nothing differs.
    pub(super) async fn resync(
        &mut self,
        tx: &mut WriteTx,
        snapshot: &SnapshotOfFlags,
    ) -> Result<Result<(), Error>, StoreError> {
        let (from, to) = (Some(&snapshot.from), &snapshot.to);
        if cursor::advance(tx.conn(), FOLLOWER, from, to).await? == Advance::Stale {
            return Ok(Err(Error::Stale));
        }
        for csp in snapshot.flags.csps() {
            self.make(csp);
        }
        // What CSPs know is read from the tables, so earlier commands have to be there.
        self.write(tx);
        tx.flush().await?;
        self.reduced.clear();
        let csps: Vec<CspId> = self.subscriptions.keys().cloned().collect();
        for csp in csps {
            let after = tx.head(&log_of(&csp))?.position.sequence;
            let differences = self.correct(tx, snapshot, &csp, after).await?;
            self.resyncs.push(ResyncRow {
                number: rows::last_resync(tx.conn(), &csp).await? + 1,
                csp,
                after,
                differences,
                flags: to.position.clone(),
                recorded_time: tx.now(),
            });
        }
        Ok(Ok(()))
    }

    /// Tells one CSP, whose log ends at `at`; gives how much.
    async fn correct(
        &mut self,
        tx: &mut WriteTx,
        snapshot: &SnapshotOfFlags,
        csp: &CspId,
        at: Sequence,
    ) -> Result<u64, StoreError> {
        let none = BTreeMap::new();
        let flagged = snapshot.flags.of(csp).unwrap_or(&none);
        let mut corrected = 0;
        let mut after: Option<DeviceId> = None;
        loop {
            let key = after.map(|after| after.to_string()).unwrap_or_default();
            let rows = rows::reduced_at(tx.conn(), csp, at, &key, PAGE).await?;
            let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == PAGE);
            let last = rows.last().filter(|_| full).map(|row| row.device);
            let known: BTreeMap<_, _> = rows
                .into_iter()
                .map(|row| (row.device, row.known))
                .collect();
            let flagged: BTreeMap<DeviceId, &Flagged> = flagged
                .range((
                    after.map_or(Bound::Unbounded, Bound::Excluded),
                    last.map_or(Bound::Unbounded, Bound::Included),
                ))
                .map(|(device, flagged)| (*device, flagged))
                .collect();
            let told = differences(csp, &known, &flagged, tx.now());
            corrected += told.len() as u64;
            for told in told {
                if let Some(known) = known.get(&told.device) {
                    let key = (csp.clone(), told.device);
                    self.reduced.insert(key, known.clone());
                }
                self.tell(tx, &told, &snapshot.to.position, "")?;
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(corrected),
            }
        }
    }
}
