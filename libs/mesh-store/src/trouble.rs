//! What can be the matter with a database?

use mesh_types::LogName;

/// What is the matter with a database that must not be written to, the gravest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The file was deleted or cut off, or another one was put in its place, while it was open: what is
    /// written would be gone at the next start. Lasts until the service is started again.
    #[error("the database file was deleted, replaced or cut off under the service")]
    FileGone,
    /// What is stored contradicts itself or cannot be read. Lasts until the service is started again
    /// with a database that is whole.
    #[error("the database file is damaged")]
    Damaged,
    /// A log went back behind what was seen of it: an older database was put in place, or one was
    /// lost. Lasts until the right file is back, or an operator accepts the loss.
    #[error("the log {log} went back behind what was seen of it")]
    WentBack {
        /// The log.
        log: LogName,
    },
    /// The server cannot be reached, or does not answer. Ends by itself once it does.
    #[error("the database server does not answer")]
    Away,
    /// The disk is full or broken. Ends by itself once writes reach the disk again.
    #[error("the disk takes no writes")]
    CannotWrite,
}

impl Trouble {
    /// All reasons there are, for those who count them.
    pub const REASONS: [&str; 5] = [
        "file-gone",
        "damaged",
        "log-went-back",
        "database-away",
        "cannot-write",
    ];

    /// A short constant name, for metrics and health.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FileGone => "file-gone",
            Self::Damaged => "damaged",
            Self::WentBack { .. } => "log-went-back",
            Self::Away => "database-away",
            Self::CannotWrite => "cannot-write",
        }
    }
}
