//! Which schema does this program know, and does a database have it?

use std::collections::{BTreeMap, HashSet};

use sqlx::migrate::{Migration, Migrator};

use crate::StoreError;
use crate::catalogue::{self, MIGRATIONS};
use crate::sql::{Conn, query_as};

/// Versions below are the library's; a service numbers its migrations from here on.
const FIRST_SERVICE_VERSION: i64 = 1000;
/// What a server says to a role that may not do what it asks for (PostgreSQL, appendix A).
pub(crate) const FORBIDDEN: &str = "42501";

pub(crate) static LIBRARY: Migrator = sqlx::migrate!("./migrations");

/// One set out of the library's migrations and the service's, so that one check and one table
/// decide about both (see `docs/adr/2026-11-23-library-migrations.md`).
pub(crate) fn merged(service: &Migrator) -> Result<Migrator, StoreError> {
    let all: Vec<Migration> = LIBRARY.iter().chain(service.iter()).cloned().collect();
    let mut versions = HashSet::new();
    let distinct = all
        .iter()
        .all(|migration| versions.insert(migration.version));
    let apart = service
        .iter()
        .all(|migration| migration.version >= FIRST_SERVICE_VERSION);
    if distinct && apart {
        Ok(Migrator::with_migrations(all))
    } else {
        Err(StoreError::inconsistent(
            "_sqlx_migrations",
            "a service numbers its migrations from 1000 on, each once",
        ))
    }
}

/// The schema of a database beside the one that this program knows. Migrations are told by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The last migration that this program knows.
    pub known: i64,
    /// The last one that was applied to the database; 0 if none was.
    pub applied: i64,
    /// Whether the database has just those that the program knows.
    pub fits: bool,
}

/// The schema of a database as it is now, beside `migrations`.
pub(crate) async fn found(conn: &mut Conn, migrations: &Migrator) -> Result<Schema, StoreError> {
    let known = migrations.iter().map(|known| known.version).max();
    let last = applied(conn).await?.into_keys().next_back();
    Ok(Schema {
        known: known.unwrap_or_default(),
        applied: last.unwrap_or_default(),
        fits: missing(conn, migrations).await? == Some(0),
    })
}

/// A migration that was begun on a database, and whether it came to its end.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) checksum: Vec<u8>,
    pub(crate) success: bool,
}

/// What the database says was applied to it, by version.
pub(crate) async fn applied(conn: &mut Conn) -> Result<BTreeMap<i64, Applied>, StoreError> {
    if !catalogue::names(conn).await?.contains(MIGRATIONS) {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        query_as("SELECT version, checksum, success FROM _sqlx_migrations")
            .fetch_all(conn)
            .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(version, checksum, success)| (version, Applied { checksum, success }))
        .collect())
}

/// How many of `migrations` the database lacks. Zero means that its schema is just the one they
/// make; `None` that they do not fit together.
///
/// It only reads: the migrator itself would ask for leave to make its own table, which a role that may only
/// write rows has not.
pub(crate) async fn missing(
    conn: &mut Conn,
    migrations: &Migrator,
) -> Result<Option<usize>, StoreError> {
    let known: Vec<_> = migrations.iter().collect();
    let applied = applied(conn).await?;
    let fits = |(version, applied): (&i64, &Applied)| {
        let same = known.iter().find(|known| known.version == *version);
        applied.success && same.is_some_and(|same| *same.checksum == *applied.checksum)
    };
    let fit = applied.iter().all(fits);
    Ok(fit.then(|| known.len() - applied.len()))
}

/// Whether a server has refused something because the role may not do it.
pub(crate) fn is_forbidden(error: &StoreError) -> bool {
    error.sqlstate().as_deref() == Some(FORBIDDEN)
}
