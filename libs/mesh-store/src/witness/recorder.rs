//! Who writes the witness of an open database, and when?
//!
//! Each commit, without waiting for the disk; and every second the disk is waited for beside the
//! writes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::WitnessFile;
use super::{Claim, Remembered};
use crate::cursor::Cursor;
use crate::wal::WalIndex;

/// The witness of an open database. Shared by its transactions.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    remembered: Remembered,
    file: WitnessFile,
    /// Tells how much of the `-wal` was committed.
    index: Option<WalIndex>,
    /// Whether something was written that is not synced.
    unsynced: bool,
    /// Whoever closed the database has had the last word.
    closed: bool,
}

impl Recorder {
    /// Remembers `remembered` of the database file at `path`, which is open.
    pub(crate) fn start(path: &Path, mut remembered: Remembered) -> io::Result<Self> {
        let index = WalIndex::open(path)?;
        remembered.wal = index.mark();
        let file = WitnessFile::open(path, &remembered)?;
        Ok(Self(Arc::new(Mutex::new(State {
            remembered,
            file,
            index: Some(index),
            unsynced: true,
            closed: false,
        }))))
    }

    /// Notes a commit: where the logs that it moved stand now.
    pub(crate) fn committed(&self, moved: impl IntoIterator<Item = Cursor>) -> io::Result<()> {
        self.state().note(|remembered| {
            for seen in moved {
                further(remembered, seen);
            }
        })
    }

    /// Notes the pulse.
    pub(crate) fn beat(&self, pulse: i64) -> io::Result<()> {
        self.state().note(|remembered| remembered.pulse = pulse)
    }

    /// Notes what a look at the database found: its logs and where its followers stand.
    pub(crate) fn looked(
        &self,
        logs: Vec<Cursor>,
        cursors: BTreeMap<String, Cursor>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let known = |seen: &Cursor| state.remembered.logs.contains_key(&seen.position.log);
        if logs.iter().all(known) && state.remembered.cursors == cursors {
            return Ok(());
        }
        state.note(|remembered| {
            for seen in logs {
                further(remembered, seen);
            }
            remembered.cursors = cursors;
        })
    }

    /// Notes that somebody says that a log went back.
    pub(crate) fn claim(&self, claim: Claim) -> io::Result<()> {
        let mut state = self.state();
        if state.remembered.claims.contains(&claim) {
            return Ok(());
        }
        state.note(|remembered| remembered.claims.push(claim))
    }

    /// Waits until what was written is on the disk. One caller at a time.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = {
            let mut state = self.state();
            if !std::mem::take(&mut state.unsynced) {
                return Ok(());
            }
            state.file.turn()
        };
        file.sync_data()
    }

    /// The database was closed. `whole` says that all of it is in the file and nothing in its `-wal`.
    pub(crate) fn close(&self, whole: bool) -> io::Result<()> {
        let mut state = self.state();
        let noted = if whole {
            state.index = None;
            state.note(|_| ())
        } else {
            Ok(())
        };
        state.closed = true;
        noted.and_then(|()| state.file.turn().sync_all())
    }

    /// Nothing is written from now on: the lock on the database is about to be given up.
    pub(crate) fn stop(&self) {
        self.state().closed = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, change: impl FnOnce(&mut Remembered)) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        change(&mut self.remembered);
        // It cannot be read while a commit changes it.
        let known = self.remembered.wal;
        self.remembered.wal = self.index.as_ref().and_then(|index| index.mark().or(known));
        self.unsynced = true;
        self.file.write(&self.remembered)
    }
}

/// A look may be older than the last commit.
fn further(remembered: &mut Remembered, seen: Cursor) {
    let log = seen.position.log.clone();
    let known = remembered.logs.get(&log);
    let older = known.is_some_and(|known| {
        known.position.comparable(&seen.position)
            && known.position.sequence > seen.position.sequence
    });
    if !older {
        remembered.logs.insert(log, seen);
    }
}
