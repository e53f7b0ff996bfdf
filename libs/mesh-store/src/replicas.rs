//! Which processes have the database open?
//!
//! A file is one process's alone. On a server each process has a row, whose pulse goes up every few seconds. Whoever
//! sees a pulse stand still for [`LIFE`], by its own monotonic clock, takes that process to be gone and removes the
//! row. No two clocks are compared; and a process can tell until when the others must take it to be there.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::StoreError;
use crate::sql::{Conn, Pool, query, query_as, query_scalar};

/// How long a pulse must stand still. A process that pauses for longer finds its row gone and makes it anew.
const LIFE: Duration = Duration::from_secs(10);
/// How often a process says that it is there.
const RENEW: Duration = Duration::from_secs(2);

/// One process that has, or had, the database open: drawn at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(i64);

impl ReplicaId {
    /// As it stands in a column.
    #[must_use]
    pub const fn to_db(self) -> i64 {
        self.0
    }

    /// Read from a column.
    #[must_use]
    pub const fn from_db(id: i64) -> Self {
        Self(id)
    }
}

/// This process's place among those that have the database open. Copies share it.
#[derive(Debug, Clone)]
pub(crate) struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: ReplicaId,
    /// Whether there can be others.
    is_shared: bool,
    known: Mutex<Known>,
    /// Whether there were others when it was looked last.
    others: watch::Sender<bool>,
}

#[derive(Debug)]
struct Known {
    /// When the last word that this process is there was begun, of those that arrived.
    renewed: Instant,
    /// Until when others rely on something that this process has promised.
    promised: Instant,
    /// The pulse of each other process, and since when it has been seen to stand there.
    pulses: HashMap<i64, (i64, Instant)>,
}

impl Replica {
    /// Makes the row of this process.
    pub(crate) async fn enter(conn: &mut Conn, is_shared: bool) -> Result<Self, StoreError> {
        if !is_shared {
            // Whoever had the file open before has ended.
            query("DELETE FROM replica").execute(&mut *conn).await?;
        }
        let now = Instant::now();
        let known = Known {
            renewed: now,
            promised: now,
            pulses: HashMap::new(),
        };
        let replica = Self(Arc::new(Inner {
            id: ReplicaId(rand::random()),
            is_shared,
            known: Mutex::new(known),
            others: watch::Sender::new(false),
        }));
        replica.renew(conn).await?;
        Ok(replica)
    }

    pub(crate) fn id(&self) -> ReplicaId {
        self.0.id
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    /// Whether there were others when it was looked last.
    pub(crate) fn has_seen_others(&self) -> bool {
        *self.0.others.borrow()
    }

    /// Resolves while there are others.
    pub(crate) async fn others(&self) {
        // It lives as long as this.
        let _ = self.0.others.subscribe().wait_for(|others| *others).await;
    }

    /// Says again and again that this process is there, and removes those that are gone, until `stop` is cancelled.
    pub(crate) async fn attend(&self, pool: &Pool, stop: &CancellationToken) {
        if !self.is_shared() {
            return;
        }
        let mut renewals = interval(RENEW);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = renewals.tick() => {}
            }
            if let Err(error) = self.keep(pool).await {
                tracing::debug!(%error, "nobody can be told that this process is there");
            }
        }
    }

    async fn keep(&self, pool: &Pool) -> Result<(), StoreError> {
        let mut conn = pool.acquire().await?;
        self.renew(&mut conn).await?;
        let others: Vec<(i64, i64)> = query_as("SELECT id, pulse FROM replica WHERE id <> $1")
            .bind(self.id().to_db())
            .fetch_all(&mut conn)
            .await?;
        self.0.others.send_if_modified(|known| {
            let news = *known == others.is_empty();
            *known = !others.is_empty();
            news
        });
        let gone = self.known().gone(&others, Instant::now());
        for (id, pulse) in gone {
            tracing::info!("a process that had the database open is gone");
            query("DELETE FROM replica WHERE id = $1 AND pulse = $2")
                .bind(id)
                .bind(pulse)
                .execute(&mut conn)
                .await?;
        }
        Ok(())
    }

    async fn renew(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let begun = Instant::now();
        query(
            "INSERT INTO replica (id, pulse) VALUES ($1, 1) \
             ON CONFLICT (id) DO UPDATE SET pulse = replica.pulse + 1",
        )
        .bind(self.id().to_db())
        .execute(conn)
        .await?;
        self.known().renewed = begun;
        Ok(())
    }

    /// Removes the row, unless somebody still relies on something that was promised.
    pub(crate) async fn leave(&self, pool: &Pool) -> Result<(), StoreError> {
        if !self.is_shared() || self.known().promised > Instant::now() {
            return Ok(());
        }
        query("DELETE FROM replica WHERE id = $1")
            .bind(self.id().to_db())
            .execute(&mut *pool.acquire().await?)
            .await?;
        Ok(())
    }

    /// See [`Store::promise`](crate::Store::promise).
    pub(crate) fn promise(&self, lasts: Duration) -> bool {
        if !self.is_shared() {
            return true;
        }
        let mut known = self.known();
        let ends = Instant::now() + lasts;
        let holds = ends < known.renewed + LIFE;
        if holds {
            known.promised = ends.max(known.promised);
        }
        holds
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Those of `others`, each with its pulse, that have stood still for too long.
    fn gone(&mut self, others: &[(i64, i64)], now: Instant) -> Vec<(i64, i64)> {
        let before = std::mem::take(&mut self.pulses);
        for &(id, pulse) in others {
            let since = match before.get(&id) {
                Some(&(same, since)) if same == pulse => since,
                _ => now,
            };
            self.pulses.insert(id, (pulse, since));
        }
        let pulses = self.pulses.iter();
        let still = pulses.filter(|(_, (_, since))| now.duration_since(*since) >= LIFE);
        still.map(|(id, (pulse, _))| (*id, *pulse)).collect()
    }
}

/// The processes that have the database open. One that was killed is among them for some [ten seconds](LIFE) more.
pub async fn present(conn: &mut Conn) -> Result<BTreeSet<ReplicaId>, StoreError> {
    let ids: Vec<i64> = query_scalar("SELECT id FROM replica")
        .fetch_all(conn)
        .await?;
    Ok(ids.into_iter().map(ReplicaId).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(now: Instant) -> Known {
        Known {
            renewed: now,
            promised: now,
            pulses: HashMap::new(),
        }
    }

    #[test]
    fn a_pulse_that_stands_still_for_long_is_nobodys() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut known = known(begin);
        assert_eq!(known.gone(&[(1, 5), (2, 8)], at(0)), []);
        assert_eq!(known.gone(&[(1, 5), (2, 9)], at(9)), []);
        // Only the time counts in which it was seen.
        assert_eq!(known.gone(&[(1, 5), (2, 9), (3, 1)], at(10)), [(1, 5)]);
        assert_eq!(known.gone(&[(3, 1)], at(19)), []);
        assert_eq!(known.gone(&[(3, 1), (2, 9)], at(20)), [(3, 1)]);
    }

    #[test]
    fn nothing_is_promised_that_others_would_not_wait_for() {
        let now = Instant::now();
        let replica = |is_shared, known| {
            Replica(Arc::new(Inner {
                id: ReplicaId(1),
                is_shared,
                known: Mutex::new(known),
                others: watch::Sender::new(false),
            }))
        };
        let Some(long_ago) = now.checked_sub(LIFE) else {
            return;
        };
        let second = Duration::from_secs(1);
        assert!(replica(true, known(now)).promise(second));
        assert!(!replica(true, known(now)).promise(LIFE));
        assert!(!replica(true, known(long_ago)).promise(second));
        assert!(replica(false, known(long_ago)).promise(second));
    }
}
