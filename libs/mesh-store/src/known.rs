//! What was known at a time, so that the answer never changes?
//!
//! A transaction takes its time when it has the write lock and commits later: what is there now may
//! not be all that will have been recorded by now. Once the lock was had by somebody else after a time
//! was over, nothing can be recorded at that time any more; on a server that is written down, as other processes
//! have other clocks (see
//! `docs/adr/2026-11-24-what-was-known-at-a-time-is-final.md`).

use mesh_types::{Clock, LogName, Position, Timestamp};

use crate::ahead::ahead_of;
use crate::{Store, StoreError, last_time, log};

impl Store {
    /// The last event of `log` that was recorded at `time` or before; sequence zero if there was none
    /// yet. Whoever asks again gets the same answer. `None` if `time` is not over by `clock`.
    ///
    /// Of a log with events of a time that is still to come, only times before the clock went ahead
    /// have an answer; others are [`StoreError::ClockNotBelieved`].
    ///
    /// A log that does not exist is [`StoreError::Inconsistent`].
    pub async fn known_at(
        &self,
        log: &LogName,
        time: Timestamp,
        clock: &dyn Clock,
    ) -> Result<Option<Position>, StoreError> {
        let mut conn = self.readers().acquire().await?;
        let head = log::head(&mut conn, log).await?;
        if let Some(head) = head.filter(|head| head.recorded_time > time) {
            let sequence = log::known_at(&mut conn, log, time).await?;
            // Events that have their time still to come hold already: nobody can say since when.
            if let Some(doubt) = ahead_of(clock.now(), head.recorded_time)
                && clock.watch().is_some()
                && sequence == log::known_at(&mut conn, log, clock.now()).await?
            {
                return Err(StoreError::ClockNotBelieved(doubt));
            }
            return Ok(Some(head.position.at(sequence)));
        }
        if self.is_shared() && last_time::is_over(&mut conn, time).await? {
            // Read after it was over: whoever had an earlier time has committed or gone.
            let sequence = log::known_at(&mut conn, log, time).await?;
            let head = log::head(&mut conn, log).await?;
            let head =
                head.ok_or_else(|| StoreError::inconsistent(log::HEADS, "a log is missing"))?;
            return Ok(Some(head.position.at(sequence)));
        }
        drop(conn);
        let mut tx = self.begin_write_by(clock).await?;
        tx.lock(log).await?;
        let known = if tx.now() > time {
            let sequence = log::known_at(tx.conn(), log, time).await?;
            Some(tx.head(log)?.position.at(sequence))
        } else {
            None
        };
        if self.is_shared() {
            // Nobody else records at an earlier time from now on.
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(known)
    }
}
