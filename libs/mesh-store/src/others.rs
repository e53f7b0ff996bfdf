//! Who else has the database open, and what must be done for them?

use std::time::Duration;

use tokio::sync::watch;

use crate::sql::query_scalar;
use crate::{ReplicaId, Store, StoreError};

impl Store {
    /// Which process this is, among those that have the database open.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.own_replica().id()
    }

    /// Whether other processes can have the database open.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.own_replica().is_shared()
    }

    /// Whether another process may have [promised](Self::promise) something that rests on what held before the
    /// last commit. One that enters after the answer "no" promises nothing but on what is committed by then.
    pub async fn has_others(&self) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(false);
        }
        let mut conn = self.readers().acquire().await?;
        let others: i64 = query_scalar("SELECT count(*) FROM replica WHERE id <> $1")
            .bind(self.replica().to_db())
            .fetch_one(&mut conn)
            .await?;
        Ok(others > 0)
    }

    /// Whether the others take this process to be there for so long from now, however it ends: then they wait
    /// for what it promises. To be asked before what the promise rests on is read.
    #[must_use]
    pub fn promise(&self, lasts: Duration) -> bool {
        self.own_replica().promise(lasts)
    }

    /// Wakes when other processes may have written, within half a second. Of a file there are no others.
    #[must_use]
    pub fn heard(&self) -> watch::Receiver<u64> {
        self.committed().heard()
    }
}
