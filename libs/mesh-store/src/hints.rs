//! How does a process hear of what another has committed, sooner than by looking?
//!
//! One pump of each process sends NOTIFY after its commits. It is never sent within a write transaction: all
//! transactions that send it take turns when they commit. What is committed while one is on its way goes with the next.
//! Whoever hears it looks; it is a hint, and what is lost of it is found by the look that comes in any case.
//! A process that is alone neither sends nor listens.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use crate::Committed;
use crate::replicas::Replica;

const CHANNEL: &str = "mp169_commits";
/// How soon after the last hint the next is sent, at the earliest.
const GAP: Duration = Duration::from_millis(10);
/// After this time it is tried again to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Sends and receives them.
#[derive(Debug)]
pub(crate) struct Hints {
    /// One connection that listens, one that tells.
    pool: PgPool,
    replica: Replica,
}

impl Hints {
    pub(crate) const fn new(pool: PgPool, replica: Replica) -> Self {
        Self { pool, replica }
    }

    /// Tells the others of what this process commits, for ever.
    pub(crate) async fn tell_all(&self, committed: &Committed) {
        let mut commits = committed.own();
        while commits.changed().await.is_ok() {
            if !self.replica.has_seen_others() {
                continue;
            }
            if let Err(error) = self.tell().await {
                tracing::debug!(%error, "nobody can be told of commits");
            }
            tokio::time::sleep(GAP).await;
        }
    }

    pub(crate) async fn tell(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(self.own())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Passes on to `hint` what others tell, for ever.
    pub(crate) async fn hear_all(&self, hint: &Notify) {
        loop {
            self.replica.others().await;
            if let Err(error) = self.hear(hint).await {
                tracing::debug!(%error, "commits of others are not heard of, only looked for");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(crate) async fn hear(&self, hint: &Notify) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            // Something may have been told before it was listened, or before it was again.
            hint.notify_one();
            while let Some(told) = listener.try_recv().await? {
                if told.payload() != self.own() {
                    hint.notify_one();
                }
            }
        }
    }

    fn own(&self) -> String {
        self.replica.id().to_db().to_string()
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}
