//! What can go wrong between a service and its database, and what the caller may do about it?

use std::borrow::Cow;
use std::sync::Arc;

use mesh_types::{Doubt, LogName};
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;

use crate::{Trouble, Unfit};

/// Where SQLite finds what cannot be read.
pub(crate) const DATABASE_FILE: &str = "the database file";

/// A failure of the storage mechanism; refusals that a service decides are its own errors.
///
/// The text of a variant is safe to show to anybody. What the driver said is the
/// [`source`](std::error::Error::source) and belongs in the service's own log only.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many writes wait, or a lock was not got in time. Nothing was written: try again later.
    #[error("the store is busy")]
    Busy,
    /// The write was not ready to commit before what it rests on ended
    /// ([`commit_before`](crate::WriteTx::commit_before)). Nothing was written: try again.
    #[error("the write took longer than what it rests on holds")]
    TooLate,
    /// The writer has been shut down. Nothing was written.
    #[error("the store is shutting down")]
    Stopped,
    /// The database cannot be reached or cannot write. Whether a commit under way took effect is
    /// not known; asking again with the same request id is safe.
    #[error("the store is unavailable")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// A uniqueness, reference or check rule of the schema refused the write. The decision should
    /// have found this first, so it is a programming error. Nothing was written.
    #[error("the store refused a write that breaks a rule of its schema")]
    Constraint(#[source] Arc<sqlx::Error>),
    /// What is stored, or was about to be, contradicts itself. Nothing was written.
    #[error("the store is inconsistent in {table}: {what}")]
    Inconsistent {
        /// The table, or the file.
        table: &'static str,
        /// What does not fit. Never holds stored values.
        what: Cow<'static, str>,
    },
    /// A statement failed in a way that no caller can mend. Nothing was written.
    #[error("a statement of the store failed")]
    Statement(#[source] Arc<sqlx::Error>),
    /// Applying or committing the command ended in a panic, which was contained. Nothing was written.
    #[error("the write failed inside the service")]
    Panicked,
    /// The schema is not the one that this program knows: it is newer, or a migration was changed
    /// or failed. Nothing of a refused set of migrations was applied unless a migration itself
    /// failed.
    #[error("the schema of the store does not fit this program")]
    Migration(#[source] Arc<MigrateError>),
    /// The URL names no engine that this program knows.
    #[error(
        "no storage engine for the URL scheme {scheme:?}: use sqlite://PATH or postgres://USER@HOST:PORT/DATABASE"
    )]
    UnsupportedEngine {
        /// What stands before the first `:` of the URL; the rest may hold a password.
        scheme: String,
    },
    /// The URL names a known engine and nothing that it can open.
    #[error("not a storage URL: {0}")]
    Url(&'static str),
    /// The database file or its folder cannot be created or locked.
    #[error("the database file cannot be opened")]
    File(#[source] Arc<std::io::Error>),
    /// A log went back behind what was seen of it. Nothing is written until the right database is
    /// back or an operator accepts the loss.
    #[error("the log {log} went back: nothing is written until an operator decides")]
    WentBack {
        /// The log.
        log: LogName,
    },
    /// The clock is not believed, or a log's last event has a time that is still to come. Nothing was
    /// written; it goes on by itself once the clock is right.
    #[error("nothing is recorded: {0}")]
    ClockNotBelieved(Doubt),
    /// The database is not opened. The text is for whoever starts the service.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The database must not be written to. Nothing was written; see [`Trouble`] for how long.
    #[error("nothing is written: {0}")]
    InTrouble(Trouble),
    /// What was asked for is done with files only, and the database is on a server.
    #[error("{0} where the database is on a server")]
    NotOnServer(&'static str),
    /// Another process has opened the database file.
    #[error("the database file is in use by another process")]
    InUse,
}

impl StoreError {
    /// An [`Inconsistent`](Self::Inconsistent): `what` must not hold stored values.
    pub fn inconsistent(table: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Inconsistent {
            table,
            what: what.into(),
        }
    }

    /// Whether the same call may succeed when it is made again a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::TooLate
                | Self::Stopped
                | Self::Unavailable(_)
                | Self::WentBack { .. }
                | Self::InTrouble(_)
                | Self::ClockNotBelieved(_)
        )
    }

    /// The SQLSTATE of a statement that a server refused (PostgreSQL, appendix A).
    pub(crate) fn sqlstate(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Statement(error) | Self::Unavailable(error) | Self::Constraint(error) => {
                error.as_database_error()?.code()
            }
            Self::Migration(error) => match &**error {
                MigrateError::ExecuteMigration(error, _) => error.as_database_error()?.code(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether one command of a batch may have caused this, so that the others deserve a try
    /// without it.
    pub(crate) const fn may_be_one_commands(&self) -> bool {
        matches!(
            self,
            Self::Constraint(_) | Self::Inconsistent { .. } | Self::Statement(_) | Self::Panicked
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::PoolTimedOut => Self::Busy,
            E::PoolClosed => Self::Stopped,
            E::Database(ref refusal) => match Refusal::of(refusal.as_ref()) {
                Refusal::Busy => Self::Busy,
                Refusal::Unavailable => Self::Unavailable(Arc::new(error)),
                Refusal::Damaged => {
                    crate::suspicion::suspect();
                    Self::inconsistent(DATABASE_FILE, "it is damaged")
                }
                Refusal::Rule => Self::Constraint(Arc::new(error)),
                Refusal::Other => Self::Statement(Arc::new(error)),
            },
            // SQLite keeps any kind of value in any column: what was written is no longer there.
            E::ColumnDecode { .. } => {
                Self::inconsistent("a table", "a value is not of its column's kind")
            }
            E::Io(_) | E::Tls(_) | E::WorkerCrashed | E::Protocol(_) | E::BeginFailed => {
                Self::Unavailable(Arc::new(error))
            }
            other => Self::Statement(Arc::new(other)),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            other => Self::Migration(Arc::new(other)),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

enum Refusal {
    Busy,
    Unavailable,
    Damaged,
    Rule,
    Other,
}

impl Refusal {
    fn of(error: &dyn DatabaseError) -> Self {
        match error.kind() {
            ErrorKind::UniqueViolation
            | ErrorKind::ForeignKeyViolation
            | ErrorKind::NotNullViolation
            | ErrorKind::CheckViolation => return Self::Rule,
            _ => {}
        }
        error
            .code()
            .map_or(Self::Other, |code| Self::of_code(&code))
    }

    /// SQLite's codes are numbers whose low eight bits are the primary code
    /// (<https://sqlite.org/rescode.html>); an SQLSTATE has five characters, its first two the
    /// class (PostgreSQL, appendix A).
    fn of_code(code: &str) -> Self {
        if code.len() == 5 {
            return match code {
                "40001" | "40P01" | "55P03" | "53300" => Self::Busy,
                _ if code.starts_with("08") || code.starts_with("53") => Self::Unavailable,
                // A server that has become a standby.
                "25006" => Self::Unavailable,
                _ if code.starts_with("57P") || code.starts_with("58") => Self::Unavailable,
                _ if code.starts_with("XX") => Self::Damaged,
                _ => Self::Other,
            };
        }
        match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Busy,
            Ok(8 | 10 | 13 | 14) => Self::Unavailable,
            Ok(11 | 26) => Self::Damaged,
            Ok(19) => Self::Rule,
            _ => Self::Other,
        }
    }
}
