//! From what may a copy be made?

use std::path::Path;

use mesh_types::LogName;
use sqlx::migrate::Migrator;

use crate::catalogue::MIGRATIONS;
use crate::database::Unfit;
use crate::examine::{Found, examine};
use crate::location::{Location, Place};
use crate::offline::Offline;
use crate::schema::{merged, missing};
use crate::sqlite::{beside, private};
use crate::witness::Claim;
use crate::{StoreError, claim, log};

/// The database of a service that is stopped: whole, and with all that anybody is known to have seen of it.
pub(crate) async fn stopped(at: &Location) -> Result<Offline, StoreError> {
    let (mut source, claims) = match &at.0 {
        Place::File(path) => file(path).await?,
        Place::Server(server) => {
            let mut source = Offline::stopped(server).await?;
            let claims = if source.has_table(claim::TABLE) {
                claim::all(source.conn()).await?
            } else {
                Vec::new()
            };
            (source, claims)
        }
    };
    match claim::standing(source.conn(), claims).await?.pop() {
        None => Ok(source),
        Some(claim) => Err(StoreError::WentBack {
            log: claim.seen.position.log,
        }),
    }
}

/// A file, and what others have said of it.
async fn file(path: &Path) -> Result<(Offline, Vec<Claim>), StoreError> {
    let owned = || path.to_owned();
    if !path.exists() {
        return Err(Unfit::Missing { path: owned() }.into());
    }
    // What is not there cannot be shared: a service could open the file meanwhile.
    private(&beside(path, ".lock"))?;
    let mut source = Offline::open(path).await?;
    let remembered = match examine(path, false).await? {
        Found::New => return Err(Unfit::Missing { path: owned() }.into()),
        Found::Database(remembered) => remembered,
    };
    if let Some(what) = source.damage().await? {
        let path = owned();
        return Err(Unfit::Damaged { path, what }.into());
    }
    let claims = remembered.map_or_else(Vec::new, |remembered| remembered.claims);
    Ok((source, claims))
}

/// Which of `schemas` a database has, and all the migrations that made it.
pub(crate) async fn schema_of(
    source: &mut Offline,
    schemas: &[&Migrator],
) -> Result<(usize, Migrator), StoreError> {
    for (index, schema) in schemas.iter().enumerate() {
        let migrations = merged(schema)?;
        if missing(source.conn(), &migrations).await? == Some(0) {
            return Ok((index, migrations));
        }
    }
    Err(StoreError::inconsistent(
        MIGRATIONS,
        "the schema is that of another version: use the program that wrote it, or start the service with \
         this one first",
    ))
}

/// What a database is, for one who has to name a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which of the schemas it has that were named.
    pub schema: usize,
    /// The names of its logs.
    pub logs: Vec<LogName>,
}

/// Whose database is at `at`: which of `schemas`, the migrations of services, has made it.
pub async fn kept(at: &Location, schemas: &[&Migrator]) -> Result<Kept, StoreError> {
    let mut source = Offline::open(at).await?;
    let (schema, _) = schema_of(&mut source, schemas).await?;
    let heads = log::heads(source.conn(), "").await?;
    let logs = heads.into_iter().map(|head| head.position.log).collect();
    Ok(Kept { schema, logs })
}
