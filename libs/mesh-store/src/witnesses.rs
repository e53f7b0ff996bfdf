//! What does a store do when somebody has seen more of a log than there is?

use crate::cursor::Cursor;
use crate::history::Seen;
use crate::seen::judge;
use crate::{Store, StoreError};

impl Store {
    /// Judges what somebody says to have seen of a log: an event of it and the log's hash after that
    /// event. All of it is read at one committed state. Nothing is done about it: whether the one who
    /// says so is believed is the caller's business.
    pub async fn judge_seen(&self, seen: &Cursor) -> Result<Seen, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let judged = judge(&mut snapshot, seen).await?;
        snapshot.rollback().await?;
        Ok(judged)
    }

    /// Stops all writing, because `by`, who is believed, has seen what the log no longer has: call it
    /// for [`Seen::WentBack`] only. Writes are refused with [`StoreError::WentBack`] from now on, and
    /// after a new start unless the log has by then what was seen, or an operator has accepted the loss.
    pub fn went_back(&self, seen: &Cursor, by: &str) {
        self.guard().went_back(seen, by);
    }
}
