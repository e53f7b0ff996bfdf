//! What remembers a database beside it, and what could go away under it?
//!
//! A file has a witness, and names that may come to mean another file. A server has neither: who remembers
//! its logs are those who follow them and the processes that write to it, and what becomes of its files is
//! the server's business.

use std::collections::BTreeMap;
use std::io;

use crate::cursor::Cursor;
use crate::files::Files;
use crate::memory::Memory;
use crate::sqlite::beside;
use crate::witness::Claim;
use crate::witness::recorder::Recorder;

/// What there is beside an open database.
#[derive(Debug)]
pub(crate) enum Beside {
    /// Of a file.
    File {
        /// Writes the witness.
        recorder: Recorder,
        /// The names of the files that are open.
        files: Files,
    },
    /// Of a database on a server: nothing but what this process remembers.
    Server(Memory),
}

impl Beside {
    /// Whether what is written reaches the place that the next start will open.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::File { files, .. } => files.are_there(),
            Self::Server(_) => true,
        }
    }

    /// Notes a commit: where the logs that it moved stand now.
    pub(crate) fn committed(&self, moved: impl IntoIterator<Item = Cursor>) -> io::Result<()> {
        match self {
            Self::File { recorder, .. } => recorder.committed(moved),
            Self::Server(memory) => {
                memory.reached(moved);
                Ok(())
            }
        }
    }

    /// Notes the pulse.
    pub(crate) fn beat(&self, pulse: i64) -> io::Result<()> {
        match self {
            Self::File { recorder, .. } => recorder.beat(pulse),
            Self::Server(_) => Ok(()),
        }
    }

    /// Notes what a look at the database found: its logs and where its followers stand.
    pub(crate) fn looked(
        &self,
        logs: Vec<Cursor>,
        cursors: BTreeMap<String, Cursor>,
    ) -> io::Result<()> {
        match self {
            Self::File { recorder, .. } => recorder.looked(logs, cursors),
            Self::Server(_) => Ok(()),
        }
    }

    /// Notes that somebody says that a log went back. On a server it is written down within a second.
    pub(crate) fn claim(&self, claim: Claim) -> io::Result<()> {
        match self {
            Self::File { recorder, .. } => recorder.claim(claim),
            Self::Server(memory) => {
                memory.claim(claim);
                Ok(())
            }
        }
    }

    /// What must be waited for until it is on the disk, apart from the writes.
    pub(crate) fn unsynced(&self) -> Option<Recorder> {
        match self {
            Self::File { recorder, .. } => Some(recorder.clone()),
            Self::Server(_) => None,
        }
    }

    /// The database was closed in good order.
    pub(crate) fn close(&self) -> io::Result<()> {
        match self {
            Self::File { recorder, files } => {
                // The last connection has taken all of the -wal into the file and removed it.
                let left = beside(files.database(), "-wal").exists();
                recorder.close(files.database_is_there() && !left)
            }
            Self::Server(_) => Ok(()),
        }
    }

    /// Nothing is written from now on.
    pub(crate) fn stop(&self) {
        if let Self::File { recorder, .. } = self {
            recorder.stop();
        }
    }
}
