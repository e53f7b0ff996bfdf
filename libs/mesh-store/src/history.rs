//! Which histories did a log have before the present one, and did the log that somebody saw go back?
//!
//! A log begins a new history, with a new epoch, when an operator accepts that events of the old one
//! are lost, or restores a backup. Sequences and the hash chain go on; see
//! `docs/adr/2026-11-28-a-database-remembers-beside-itself.md`.

use mesh_types::chain::Hash;
use mesh_types::{Epoch, LogName, Sequence, Timestamp};

use crate::cursor::Cursor;
use crate::log::{Head, epoch_from_db};
use crate::sql::{Conn, query_as};
use crate::{StoreError, sequence_from_db};

const TABLE: &str = "log_history";

/// A history of a log that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What its events were numbered under.
    pub epoch: Epoch,
    /// The last event of the log when the next history began.
    pub ended_after: Sequence,
    /// The last event of it that somebody has seen. Those that follow `ended_after` are lost.
    pub seen_up_to: Sequence,
    /// The history that began then.
    pub next_epoch: Epoch,
    /// When that was.
    pub ended_time: Timestamp,
    /// Who decided it.
    pub decided_by: String,
    /// Why.
    pub reason: String,
}

/// What a log says to somebody who has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// What was seen is in the present history.
    Fits,
    /// It was in a history that is over; an operator has accepted what was lost of it. Whoever saw it
    /// starts over with a snapshot.
    Accepted,
    /// The log went back: it had an event that it no longer has, and nobody has accepted that.
    WentBack,
}

/// The histories of `log` that are over, in no order; none if there is no such log.
pub async fn histories(conn: &mut Conn, log: &LogName) -> Result<Vec<History>, StoreError> {
    let rows: Vec<(i64, i64, i64, i64, i64, String, String)> = query_as(
        "SELECT epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason \
         FROM log_history WHERE log = $1",
    )
    .bind(log.as_str())
    .fetch_all(conn)
    .await?;
    let read = |row: (i64, i64, i64, i64, i64, String, String)| {
        let (epoch, ended_after, seen_up_to, next_epoch, ended_time, decided_by, reason) = row;
        Ok(History {
            epoch: epoch_from_db(TABLE, epoch)?,
            ended_after: sequence_from_db(TABLE, ended_after)?,
            seen_up_to: sequence_from_db(TABLE, seen_up_to)?,
            next_epoch: epoch_from_db(TABLE, next_epoch)?,
            ended_time: Timestamp::from_micros(ended_time),
            decided_by,
            reason,
        })
    };
    rows.into_iter().map(read).collect()
}

/// An epoch that is over, and the one that followed it.
pub(crate) type Step = (Epoch, Epoch);

/// Whether `steps` lead from the first epoch of `head` to its present one: the two numbers stand
/// nowhere else, so that a damaged one would not be noticed.
#[must_use]
pub(crate) fn lead_to(head: &Head, steps: &[Step]) -> bool {
    let mut reached = head.first_epoch;
    // No epoch is drawn twice: whoever takes more steps than there are goes round in a circle.
    for _ in 0..=steps.len() {
        match steps.iter().find(|(epoch, _)| *epoch == reached) {
            Some((_, next)) => reached = *next,
            None => return reached == head.position.epoch,
        }
    }
    false
}

/// Judges what somebody saw of a log. `head` is its end, `histories` are those that are over, and
/// `stored` is the log's hash at the sequence that was seen.
#[must_use]
pub(crate) fn judge(
    seen: &Cursor,
    head: Option<&Head>,
    histories: &[History],
    stored: Option<&Hash>,
) -> Seen {
    let epoch = seen.position.epoch;
    match head {
        Some(head) if head.position.comparable(&seen.position) => {
            let reached = seen.position.sequence <= head.position.sequence;
            if reached && stored == Some(&seen.hash) {
                Seen::Fits
            } else {
                Seen::WentBack
            }
        }
        _ if histories.iter().any(|history| history.epoch == epoch) => Seen::Accepted,
        _ => Seen::WentBack,
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::Position;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::new(number).unwrap()
    }

    fn over(number: u64, next: u64) -> History {
        History {
            epoch: epoch(number),
            ended_after: 5,
            seen_up_to: 7,
            next_epoch: epoch(next),
            ended_time: Timestamp::from_micros(1),
            decided_by: "an operator".to_owned(),
            reason: "a test".to_owned(),
        }
    }

    fn head(first: u64, present: u64) -> Head {
        Head {
            position: position(present, 10),
            hash: [10; 32],
            recorded_time: Timestamp::from_micros(1),
            first_epoch: epoch(first),
        }
    }

    fn position(number: u64, sequence: Sequence) -> Position {
        Position {
            log: "flags".parse().unwrap(),
            epoch: epoch(number),
            sequence,
        }
    }

    fn seen(number: u64, sequence: Sequence, hash: u8) -> Cursor {
        Cursor {
            position: position(number, sequence),
            hash: [hash; 32],
        }
    }

    #[test]
    fn what_was_seen_fits_was_accepted_or_went_back() {
        let head = head(1, 3);
        // The second was another database's, which an operator gave up for this one.
        let histories = [over(1, 3), over(2, 3)];
        for (seen, stored, expected) in [
            (seen(3, 10, 10), Some(10), Seen::Fits),
            (seen(3, 4, 4), Some(4), Seen::Fits),
            (seen(3, 10, 9), Some(10), Seen::WentBack),
            (seen(3, 11, 11), None, Seen::WentBack),
            // A row behind the head is not in the log.
            (seen(3, 11, 11), Some(11), Seen::WentBack),
            (seen(1, 4, 4), Some(4), Seen::Accepted),
            (seen(2, 99, 99), None, Seen::Accepted),
            (seen(4, 4, 4), Some(4), Seen::WentBack),
        ] {
            let stored = stored.map(|hash| [hash; 32]);
            let judged = judge(&seen, Some(&head), &histories, stored.as_ref());
            assert_eq!(judged, expected, "{seen:?}");
        }
        let nothing = judge(&seen(3, 1, 1), None, &[], None);
        assert_eq!(nothing, Seen::WentBack, "a log that is gone");
    }

    #[test]
    fn histories_lead_from_the_first_epoch_to_the_present_one() {
        let step = |(from, to)| (epoch(from), epoch(to));
        let two = [(1, 2), (2, 3), (9, 3)].map(step);
        assert!(lead_to(&head(1, 1), &[]));
        assert!(lead_to(&head(1, 3), &two));
        for (first, present, steps) in [
            (1, 2, &two[..]),
            (1, 4, &two),
            (4, 3, &two),
            (1, 2, &[]),
            (1, 1, &[(1, 2), (2, 1)].map(step)),
        ] {
            assert!(!lead_to(&head(first, present), steps));
        }
    }
}
