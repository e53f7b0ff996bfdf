//! What does a process remember of a database on a server?
//!
//! The server may become another one while it is open: a standby is promoted, or a backup is put in
//! place. Whoever has acknowledged an event knows that it must be there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_types::LogName;

use crate::cursor::Cursor;
use crate::witness::Claim;

/// Where its logs were, and what was said of them that is not in the database yet.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logs: BTreeMap<LogName, Cursor>,
    unwritten: Vec<Claim>,
}

impl Memory {
    /// Notes where logs are, which fit what is remembered of them.
    pub(crate) fn reached(&self, logs: impl IntoIterator<Item = Cursor>) {
        let mut state = self.state();
        for seen in logs {
            let known = state.logs.get(&seen.position.log);
            // A look may be older than the last commit.
            let older = known.is_some_and(|known| {
                known.position.comparable(&seen.position)
                    && known.position.sequence > seen.position.sequence
            });
            if !older {
                state.logs.insert(seen.position.log.clone(), seen);
            }
        }
    }

    /// Where a log was.
    pub(crate) fn of(&self, log: &LogName) -> Option<Cursor> {
        self.state().logs.get(log).cloned()
    }

    /// Where all logs were.
    pub(crate) fn logs(&self) -> Vec<Cursor> {
        self.state().logs.values().cloned().collect()
    }

    /// Notes what somebody says, until it is in the database.
    pub(crate) fn claim(&self, claim: Claim) {
        let mut state = self.state();
        if !state.unwritten.contains(&claim) {
            state.unwritten.push(claim);
        }
    }

    /// What is to be written.
    pub(crate) fn unwritten(&self) -> Vec<Claim> {
        self.state().unwritten.clone()
    }

    /// It was written.
    pub(crate) fn written(&self, claims: &[Claim]) {
        let mut state = self.state();
        state.unwritten.retain(|claim| !claims.contains(claim));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
