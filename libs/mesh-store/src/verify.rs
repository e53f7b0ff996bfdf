//! Is a stored log whole, and if not, which event is the first that does not fit?
//!
//! The chain shows a hole, a swap and an edit. A log cut short together with its head is a
//! shorter log that is whole: only a copy elsewhere shows that.

use futures::TryStreamExt as _;
use mesh_types::chain::{self, Hash};
use mesh_types::{LogName, Sequence, Timestamp};

use crate::StoreError;
use crate::log::{self, Head, StoredEvent};
use crate::sqlite::{Conn, Pool};

const PAGE: u32 = 500;

/// The first place where a log does not fit itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence}: {what}")]
pub struct Misfit {
    /// The event that does not fit, or that should be there.
    pub sequence: Sequence,
    /// In which way.
    pub what: What,
}

/// In which way an event does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// No event has this number.
    #[error("it is missing")]
    Missing,
    /// The previous hash that it carries is not the hash of the event before it.
    #[error("its previous hash is not the hash before it")]
    PreviousHash,
    /// Its hash is not that of its octets, its number and the previous hash.
    #[error("its hash is not that of what is stored")]
    Hash,
    /// It was recorded before the event before it.
    #[error("it was recorded before its predecessor")]
    RecordedTime,
    /// The head names this event, with another hash or time.
    #[error("the head says otherwise")]
    Head,
    /// It stands behind the head.
    #[error("it stands behind the head")]
    BehindHead,
}

/// Reads `log` from its first event to its head and checks every link.
///
/// Reads page by page, each its own short read, while writers go on; the head returned is the one
/// that the last page reached. A log that does not exist is [`StoreError::Inconsistent`].
pub async fn verify(readers: &Pool, log: &LogName) -> Result<Result<Head, Misfit>, StoreError> {
    let start = head(readers, log).await?;
    let mut at = Link {
        sequence: 0,
        hash: chain::genesis(log, start.position.epoch),
        recorded_time: Timestamp::from_micros(i64::MIN),
    };
    // The head is read before the page: all that it promises must then be found.
    let mut promised = start;
    loop {
        let events = page(readers, log, at.sequence).await?;
        for event in &events {
            match at.next(event) {
                Ok(next) => at = next,
                Err(misfit) => return Ok(Err(misfit)),
            }
        }
        if !events.is_empty() {
            promised = head(readers, log).await?;
            continue;
        }
        return Ok(at.ends(promised));
    }
}

/// How far the check has come.
struct Link {
    sequence: Sequence,
    hash: Hash,
    recorded_time: Timestamp,
}

impl Link {
    fn next(&self, event: &StoredEvent) -> Result<Self, Misfit> {
        let sequence = self.sequence + 1;
        let what = if event.sequence != sequence {
            What::Missing
        } else if event.previous_hash != self.hash {
            What::PreviousHash
        } else if event.hash != chain::link(&self.hash, sequence, &event.event) {
            What::Hash
        } else if event.recorded_time < self.recorded_time {
            What::RecordedTime
        } else {
            return Ok(Self {
                sequence,
                hash: event.hash,
                recorded_time: event.recorded_time,
            });
        };
        Err(Misfit { sequence, what })
    }

    /// Whether the head, which is not younger than the last event read, names that event.
    fn ends(&self, head: Head) -> Result<Head, Misfit> {
        let promised = head.position.sequence;
        let (sequence, what) = if promised > self.sequence {
            (self.sequence + 1, What::Missing)
        } else if promised < self.sequence {
            (promised + 1, What::BehindHead)
        } else if head.hash != self.hash || head.recorded_time != self.recorded_time {
            (self.sequence, What::Head)
        } else {
            return Ok(head);
        };
        Err(Misfit { sequence, what })
    }
}

async fn head(readers: &Pool, log: &LogName) -> Result<Head, StoreError> {
    log::head(&mut *readers.acquire().await?, log)
        .await?
        .ok_or_else(|| StoreError::inconsistent(log::HEADS, "the log does not exist"))
}

async fn page(
    readers: &Pool,
    log: &LogName,
    after: Sequence,
) -> Result<Vec<StoredEvent>, StoreError> {
    let conn: &mut Conn = &mut *readers.acquire().await?;
    log::scan(conn, log, after, PAGE)
        .map_err(StoreError::from)
        .and_then(async |row| log::event_from_db(row))
        .try_collect()
        .await
}
