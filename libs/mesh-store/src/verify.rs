//! Is a stored log whole, and if not, which event is the first that does not fit?
//!
//! The chain shows a hole, a swap and an edit. A log cut short together with its head is a
//! shorter log that is whole: only a copy elsewhere shows that.

use futures::TryStreamExt as _;
use mesh_types::{Epoch, LogName, Position, Sequence, Timestamp, chain};

use crate::StoreError;
use crate::history::{History, Step, histories, lead_to};
use crate::log::{self, Head, StoredEvent};
use crate::sql::{Conn, Pool};

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
    /// Its row cannot be read: the storage is damaged there.
    #[error("it cannot be read")]
    Unreadable,
    /// The previous hash that it carries is not the hash of the event before it.
    #[error("its previous hash is not the hash before it")]
    PreviousHash,
    /// Its hash is not that of its octets, its number and the previous hash.
    #[error("its hash is not that of what is stored")]
    Hash,
    /// The number or the time beside it is not the one in it.
    #[error("the number or time beside it is not the one in it")]
    Stamp,
    /// It was recorded before the event before it.
    #[error("it was recorded before its predecessor")]
    RecordedTime,
    /// The head names this event, with another hash or time.
    #[error("the head says otherwise")]
    Head,
    /// It stands behind the head.
    #[error("it stands behind the head")]
    BehindHead,
    /// The log's histories do not lead to the epoch that the head names.
    #[error("the histories of the log do not lead to its epoch")]
    Epoch,
    /// No head that can be read names the log.
    #[error("its log has no head")]
    NoHead,
}

/// What was found out about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's name, whatever it is.
    pub log: String,
    /// How many of its events fit, from the first on.
    pub fit: Sequence,
    /// Its head if all of it fits, or the first event that does not.
    pub found: Result<Head, Misfit>,
}

/// What an event says of itself, which is repeated beside it in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its number in the log.
    pub sequence: Sequence,
    /// When it was recorded.
    pub recorded_time: Timestamp,
}

/// Reads what an event says of itself; `None` if its octets are no event. This crate knows no
/// encoding.
pub type ReadStamp = fn(&[u8]) -> Option<Stamp>;

/// An event as it was found, nothing of it believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its number in the log.
    pub sequence: Sequence,
    /// When it was recorded.
    pub recorded_time: Timestamp,
    /// The chain's hash before it.
    pub previous_hash: &'a [u8],
    /// The chain's hash after it.
    pub hash: &'a [u8],
    /// The octets of which that is the hash.
    pub event: &'a [u8],
}

impl<'a> From<&'a StoredEvent> for Found<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            sequence: event.sequence,
            recorded_time: event.recorded_time,
            previous_hash: &event.previous_hash,
            hash: &event.hash,
            event: &event.event,
        }
    }
}

/// Checks the events of one log in their order, wherever they come from.
#[derive(Debug, Clone)]
pub struct Checker {
    reached: Head,
    read_stamp: Option<ReadStamp>,
}

impl Checker {
    /// Before the first event of the log that `position` names, whose chain begins with
    /// `first_epoch`. Without `read_stamp` what stands beside an event is not compared with what
    /// stands in it.
    #[must_use]
    pub fn new(position: &Position, first_epoch: Epoch, read_stamp: Option<ReadStamp>) -> Self {
        let reached = Head {
            hash: chain::genesis(&position.log, first_epoch),
            position: position.at(0),
            recorded_time: Timestamp::from_micros(i64::MIN),
            first_epoch,
        };
        Self {
            reached,
            read_stamp,
        }
    }

    /// Takes the next event, unless it does not fit.
    pub fn take(&mut self, found: Found<'_>) -> Result<(), Misfit> {
        let reached = &mut self.reached;
        let sequence = reached.position.sequence + 1;
        let hash = chain::link(&reached.hash, sequence, found.event);
        let what = if found.sequence != sequence {
            What::Missing
        } else if found.previous_hash != reached.hash {
            What::PreviousHash
        } else if found.hash != hash {
            What::Hash
        } else if !stamped(self.read_stamp, &found) {
            What::Stamp
        } else if found.recorded_time < reached.recorded_time {
            What::RecordedTime
        } else {
            reached.position.sequence = sequence;
            reached.hash = hash;
            reached.recorded_time = found.recorded_time;
            return Ok(());
        };
        Err(Misfit { sequence, what })
    }

    /// The end of what fitted, which is the log's own end if no more is promised.
    #[must_use]
    pub const fn reached(&self) -> &Head {
        &self.reached
    }

    /// The event after those that fitted, and what is the matter with it.
    #[must_use]
    pub const fn next_is(&self, what: What) -> Misfit {
        Misfit {
            sequence: self.reached.position.sequence + 1,
            what,
        }
    }

    /// Whether `head`, which is not younger than the last event taken, names that event.
    pub fn ends_at(&self, head: &Head) -> Result<(), Misfit> {
        let reached = self.reached.position.sequence;
        let promised = head.position.sequence;
        let (sequence, what) = if promised > reached {
            (reached + 1, What::Missing)
        } else if promised < reached {
            (promised + 1, What::BehindHead)
        } else if *head != self.reached {
            (reached, What::Head)
        } else {
            return Ok(());
        };
        Err(Misfit { sequence, what })
    }
}

/// The head itself, unless the histories of its log that are over do not lead to its epoch.
pub(crate) fn led_to(head: Head, steps: &[Step]) -> Result<Head, Misfit> {
    if lead_to(&head, steps) {
        Ok(head)
    } else {
        Err(Misfit {
            sequence: head.position.sequence,
            what: What::Epoch,
        })
    }
}

/// Whether an event says of itself what stands beside it.
fn stamped(read_stamp: Option<ReadStamp>, found: &Found<'_>) -> bool {
    let beside = Stamp {
        sequence: found.sequence,
        recorded_time: found.recorded_time,
    };
    read_stamp.is_none_or(|read_stamp| read_stamp(found.event) == Some(beside))
}

/// Reads `log` from its first event to its head and checks every link.
///
/// Reads page by page, each its own short read, while writers go on; the head returned is the one
/// that the last page reached. A log that does not exist is [`StoreError::Inconsistent`].
pub async fn verify(readers: &Pool, log: &LogName) -> Result<Result<Head, Misfit>, StoreError> {
    // The head is read before the page: all that it promises must then be found.
    let mut promised = head(readers, log).await?;
    let mut checker = Checker::new(&promised.position, promised.first_epoch, None);
    loop {
        let events = page(readers, log, checker.reached().position.sequence).await?;
        for event in &events {
            if let Err(misfit) = checker.take(event.into()) {
                return Ok(Err(misfit));
            }
        }
        if events.is_empty() {
            let ends = checker.ends_at(&promised);
            let steps = steps(&mut *readers.acquire().await?, log).await?;
            return Ok(ends.and_then(|()| led_to(promised, &steps)));
        }
        promised = head(readers, log).await?;
    }
}

/// The same on one connection, which sees one committed state all the time.
pub(crate) async fn verify_still(
    conn: &mut Conn,
    log: &LogName,
) -> Result<Result<Head, Misfit>, StoreError> {
    let missing = || StoreError::inconsistent(log::HEADS, "the log does not exist");
    let head = log::head(conn, log).await?.ok_or_else(missing)?;
    let mut checker = Checker::new(&head.position, head.first_epoch, None);
    {
        let mut rows = log::scan(conn, log, 0, u32::MAX);
        while let Some(row) = rows.try_next().await? {
            let event = log::event_from_db(row)?;
            if let Err(misfit) = checker.take((&event).into()) {
                return Ok(Err(misfit));
            }
        }
    }
    let steps = steps(conn, log).await?;
    Ok(checker.ends_at(&head).and_then(|()| led_to(head, &steps)))
}

async fn steps(conn: &mut Conn, log: &LogName) -> Result<Vec<Step>, StoreError> {
    let histories = histories(conn, log).await?;
    let step = |history: &History| (history.epoch, history.next_epoch);
    Ok(histories.iter().map(step).collect())
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
        .and_then(async |row| log::event_from_db(row))
        .try_collect()
        .await
}
