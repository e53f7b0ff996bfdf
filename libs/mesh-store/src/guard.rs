//! What stands between a transaction and the database?
//!
//! Before it begins and before it commits: is there trouble? After it has committed: did it reach the
//! place that the next start will open, and how far did its logs come?

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::StoreError;
use crate::beside::Beside;
use crate::condition::Gate;
use crate::cursor::Cursor;
use crate::trouble::Trouble;

/// Shared by all that writes into a database.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) gate: Gate,
    pub(crate) beside: Beside,
    failures: AtomicU64,
}

impl Guard {
    pub(crate) fn new(gate: Gate, beside: Beside) -> Self {
        Self {
            gate,
            beside,
            failures: AtomicU64::new(0),
        }
    }

    /// How many writes the disk has not taken.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Refuses a transaction that is about to commit if the database is in trouble.
    pub(crate) fn before_commit(&self) -> Result<(), StoreError> {
        if !self.beside.is_there() {
            self.gate.raise(Trouble::FileGone);
        }
        self.gate.check()
    }

    /// Notes that a transaction was committed, with the ends of the logs that it moved. Refuses to
    /// have it acknowledged if the file went away meanwhile.
    pub(crate) fn committed(
        &self,
        moved: impl IntoIterator<Item = Cursor>,
    ) -> Result<(), StoreError> {
        let noted = self.beside.committed(moved);
        self.note(noted);
        if self.beside.is_there() {
            return Ok(());
        }
        self.gate.raise(Trouble::FileGone);
        Err(StoreError::InTrouble(Trouble::FileGone))
    }

    /// What a failure says of the database.
    pub(crate) fn failed(&self, error: &StoreError) {
        match error {
            StoreError::Unavailable(_) => self.cannot_write(),
            StoreError::Inconsistent { table, .. } if *table == crate::error::DATABASE_FILE => {
                self.gate.raise(Trouble::Damaged);
            }
            _ => {}
        }
    }

    /// A witness that cannot be written is behind, and says less; the disk that does not take it is
    /// in trouble.
    pub(crate) fn note(&self, noted: io::Result<()>) {
        if let Err(error) = noted {
            tracing::error!(%error, "the witness of the database cannot be written");
            self.cannot_write();
        }
    }

    fn cannot_write(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.gate.raise(Trouble::CannotWrite);
    }
}
