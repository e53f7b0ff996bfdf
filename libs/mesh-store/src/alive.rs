//! When was the database in use last, and what does that say of the clock at this start?
//!
//! See `docs/adr/2026-11-28-a-clock-ahead-is-not-believed.md`.

use std::fs;
use std::time::Duration;

use mesh_types::belief::History;
use mesh_types::{Clock, Doubt, LogName, Timestamp};

use crate::ahead::ahead_of;
use crate::sql::{Conn, query, query_as, query_scalar};
use crate::{Store, StoreError, log};

/// Which start of the machine this is. Linux alone says so.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long the machine is up. The kernel counts it with its clock `CLOCK_BOOTTIME`, which goes on
/// while the machine sleeps.
const UPTIME: &str = "/proc/uptime";

/// The machine's own count of time, which nobody sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which start of the machine it is counted from.
    pub boot: String,
    /// How long that is ago.
    pub up: Duration,
}

/// The last time at which the database was in use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastLife {
    seen: Timestamp,
    uptime: Option<Uptime>,
}

impl Uptime {
    /// Of this machine, where it can be had.
    #[must_use]
    pub fn read() -> Option<Self> {
        let boot = fs::read_to_string(BOOT_ID).ok()?.trim().to_owned();
        let uptime = fs::read_to_string(UPTIME).ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let up = Duration::try_from_secs_f64(seconds).ok()?;
        (!boot.is_empty()).then_some(Self { boot, up })
    }
}

/// What the last life says of a clock that shows `now` at this start.
fn history(last: Option<&LastLife>, now: Timestamp, uptime: Option<&Uptime>) -> History {
    let Some(last) = last else {
        return History::None;
    };
    let ahead = |of: Timestamp| now.micros().saturating_sub(of.micros());
    match (&last.uptime, uptime) {
        (Some(then), Some(here)) if then.boot == here.boot && here.up >= then.up => History::Exact(
            ahead(last.seen.saturating_add(here.up.saturating_sub(then.up))),
        ),
        _ => History::Loose(ahead(last.seen)),
    }
}

impl Store {
    /// Holds `clock` against the last life of the database, if it is watched. To be called before the
    /// first write.
    pub async fn wake(&self, clock: &dyn Clock) -> Result<(), StoreError> {
        self.wake_on(clock, Uptime::read().as_ref()).await
    }

    /// The same on a machine that is up for so long.
    pub async fn wake_on(
        &self,
        clock: &dyn Clock,
        uptime: Option<&Uptime>,
    ) -> Result<(), StoreError> {
        let Some(watch) = clock.watch() else {
            return Ok(());
        };
        let mut conn = self.readers().acquire().await?;
        let last = last_life(&mut conn).await?;
        let history = history(last.as_ref(), watch.began(), uptime);
        watch.remember(history);
        if let Some(doubt) = clock.doubt() {
            tracing::error!(
                reason = doubt.reason(),
                "the clock is not believed: {doubt}"
            );
        }
        Ok(())
    }

    /// Notes that the database is in use now; refused while the clock is not believed.
    pub async fn note_alive(&self, clock: &dyn Clock) -> Result<(), StoreError> {
        self.note_alive_on(clock, Uptime::read().as_ref()).await
    }

    /// The same on a machine that is up for so long.
    pub async fn note_alive_on(
        &self,
        clock: &dyn Clock,
        uptime: Option<&Uptime>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write_by(clock).await?;
        let seen = tx.shown();
        let boot = uptime.map_or("", |uptime| uptime.boot.as_str());
        let up = uptime.map_or(0, |uptime| uptime.up.as_micros());
        query(
            "INSERT INTO last_life (id, seen, boot, uptime) VALUES (1, $1, $2, $3) \
             ON CONFLICT (id) DO UPDATE \
             SET seen = excluded.seen, boot = excluded.boot, uptime = excluded.uptime",
        )
        .bind(seen.micros())
        .bind(boot)
        .bind(i64::try_from(up).unwrap_or(i64::MAX))
        .execute(tx.conn())
        .await?;
        tx.commit().await
    }

    /// Makes those of `logs` that are not there. Where all are, nothing is written, so that a service
    /// whose clock is not believed can start and be read.
    pub async fn make_logs(&self, logs: &[&LogName], clock: &dyn Clock) -> Result<(), StoreError> {
        let mut conn = self.readers().acquire().await?;
        let mut missing = Vec::new();
        for log in logs {
            if log::head(&mut conn, log).await?.is_none() {
                missing.push(*log);
            }
        }
        drop(conn);
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_write_by(clock).await?;
        for log in missing {
            tx.create_log(log, log::random_epoch()).await?;
        }
        tx.commit().await
    }

    /// Why nothing is recorded by `clock`, if it is watched: it is not believed, or the last event of a
    /// log has a time that is still to come.
    pub async fn clock_doubt(&self, clock: &dyn Clock) -> Result<Option<Doubt>, StoreError> {
        if let Some(doubt) = clock.doubt() {
            return Ok(Some(doubt));
        }
        if clock.watch().is_none() {
            return Ok(None);
        }
        let mut conn = self.readers().acquire().await?;
        let last = last_recorded(&mut conn).await?;
        Ok(last.and_then(|last| ahead_of(clock.now(), last)))
    }
}

/// Of a database that an earlier version used last, when its last event was recorded or its age
/// counted.
async fn last_life(conn: &mut Conn) -> Result<Option<LastLife>, StoreError> {
    let noted: Option<(i64, String, i64)> =
        query_as("SELECT seen, boot, uptime FROM last_life WHERE id = 1")
            .fetch_optional(&mut *conn)
            .await?;
    if let Some((seen, boot, uptime)) = noted {
        let up = Duration::from_micros(u64::try_from(uptime).unwrap_or_default());
        return Ok(Some(LastLife {
            seen: Timestamp::from_micros(seen),
            uptime: (!boot.is_empty()).then_some(Uptime { boot, up }),
        }));
    }
    let counted: Option<i64> = query_scalar("SELECT seen FROM database_age WHERE id = 1")
        .fetch_optional(&mut *conn)
        .await?;
    let recorded = last_recorded(conn).await?;
    let seen = counted.map(Timestamp::from_micros).max(recorded);
    Ok(seen.map(|seen| LastLife { seen, uptime: None }))
}

/// When the last event of any log was recorded.
async fn last_recorded(conn: &mut Conn) -> Result<Option<Timestamp>, StoreError> {
    let last: Option<i64> =
        query_scalar("SELECT max(recorded_time) FROM log_head WHERE sequence > 0")
            .fetch_one(conn)
            .await?;
    Ok(last.map(Timestamp::from_micros))
}

#[cfg(test)]
mod tests;
