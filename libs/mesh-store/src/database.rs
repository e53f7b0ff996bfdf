//! Which database is a service to open, and why is it refused?

use std::fmt;
use std::path::PathBuf;

use mesh_types::{LogName, Sequence};

/// The database of a service, as whoever starts it names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// Where it is: `sqlite://PATH` or `postgres://USER@HOST:PORT/DATABASE`. The second may hold a password.
    pub url: String,
    /// Whether a new one may be made if there is none and never was one. A service that was started
    /// before has one, and goes without this: a database that is missing is then refused, not replaced
    /// by an empty one.
    pub create: bool,
}

impl fmt::Debug for Database {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once(':').map_or("", |(scheme, _)| scheme);
        f.debug_struct("Database")
            .field("scheme", &scheme)
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// One that is there.
    #[must_use]
    pub fn existing(url: impl Into<String>) -> Self {
        let (url, create) = (url.into(), false);
        Self { url, create }
    }

    /// One that is made if it is not there and never was.
    #[must_use]
    pub fn existing_or_new(url: impl Into<String>) -> Self {
        let (url, create) = (url.into(), true);
        Self { url, create }
    }
}

/// Why a database is not opened. The text says what to do; it names files, so it is for whoever starts
/// the service and for nobody else. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// There is none, and no sign that there ever was.
    #[error(
        "there is no database at {path}: put it back, or restore a backup with `mp169 restore`; \
         if there never was one, have it made with --create"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is none, but there was.
    #[error(
        "the database {path} is gone: {path}.witness says that there was one. Put it back, or \
         restore a backup with `mp169 restore`; to begin with nothing at all, remove the witness, \
         too, and start with --create"
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file has no octets, or no tables.
    #[error(
        "the database {path} is empty: put the right file back, or restore a backup with `mp169 \
         restore`; if there never was anything in it, start with --create"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is no database, or shorter than it says itself, or what it holds contradicts itself.
    #[error(
        "the database {path} is damaged ({what}): keep the file, and put a whole one back or restore \
         a backup with `mp169 restore`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Transactions that were acknowledged cannot be read from the `-wal`.
    #[error(
        "{path}-wal is damaged ({what}). Nothing was touched: keep a copy of {path} and of all files \
         beside it. Put whole files back, or restore a backup with `mp169 restore`; what can still \
         be read is kept by `mp169 log accept-loss`"
    )]
    WalDamaged {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Another database than the one that was here.
    #[error(
        "{path} is another database than the one that was here, says {path}.witness: put the right \
         file back, or make this one the database with `mp169 restore`"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A log ends before the place where it was, or has another event there.
    #[error(
        "{path} is older than the database that was here: the log {log} was at event {remembered} \
         and this one {found}. Put the newest file back; or accept what is lost with `mp169 log \
         accept-loss`"
    )]
    Behind {
        /// The file.
        path: PathBuf,
        /// The log.
        log: LogName,
        /// How far it was.
        remembered: Sequence,
        /// What stands there instead.
        found: String,
    },
    /// No log is behind, but the rest of the database is.
    #[error(
        "{path} is older than the database that was here ({what}). Put the newest file back; or accept \
         what is lost with `mp169 log accept-loss`"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// What shows it.
        what: String,
    },
    /// A backup is to be put where a database is.
    #[error(
        "there is a database at {path}: say that it is to be replaced, and it is kept beside it"
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// A copy is to be put where there is something already.
    #[error(
        "{database} is not empty: name an empty database, or a file that is not there; nothing was changed"
    )]
    NotEmpty {
        /// What it is, without a user and a password.
        database: String,
    },
    /// The server, or what is on it, cannot promise what is needed, or is not the right one.
    #[error("the database {database} is not opened: {what}")]
    Server {
        /// Its name and where it is, without a user and a password.
        database: String,
        /// What is the matter, and what to do.
        what: String,
    },
    /// The witness cannot be read.
    #[error(
        "{path}.witness is damaged, so that nobody can say whether {path} is the database that was \
         here. Remove the witness if you know that it is"
    )]
    WitnessDamaged {
        /// The database file.
        path: PathBuf,
    },
}
