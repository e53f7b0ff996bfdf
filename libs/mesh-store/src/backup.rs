//! How is a database copied while its service writes to it?

use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;

use crate::StoreError;
use crate::copy::{into_file, schema_of};
use crate::location::{Location, Place};
use crate::offline::Offline;
use crate::sql::{Conn, query};
use crate::sqlite::{LOCK_PATIENCE, private, sync_folder};

/// Copies the database at `from` into the new file `to`: one committed state of all its tables,
/// in one file that needs none beside it, and on the disk when this returns. Nobody but the owner may
/// read it.
///
/// A service may have the database open and write to it meanwhile; it is neither stopped nor slowed
/// down by a lock. What a crash left beside a file that no service has open is copied with it, and not
/// changed. A file at `to` that is not empty is an error, and so is a damaged database. What is on a server
/// must have been made by one of `schemas`, which are the migrations of services.
pub async fn backup(
    from: impl Into<Location>,
    to: &Path,
    schemas: &[&Migrator],
) -> Result<(), StoreError> {
    match from.into().0 {
        Place::File(from) => of_file(&from, to).await,
        Place::Server(server) => {
            let mut source = Offline::open(Location(Place::Server(server))).await?;
            let (_, migrations) = schema_of(&mut source, schemas).await?;
            into_file(source.conn(), to, &migrations, &mut |_| ()).await?;
            Ok(())
        }
    }
}

async fn of_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let file = private(to)?;
    match Offline::open(from).await {
        Ok(mut stopped) => {
            if let Some(damage) = stopped.damage().await? {
                return Err(StoreError::inconsistent("the database file", damage));
            }
            copy(stopped.conn(), to).await?;
        }
        Err(StoreError::InUse) => {
            let options = SqliteConnectOptions::new().filename(from).read_only(true);
            let served = options.busy_timeout(LOCK_PATIENCE).connect().await?;
            let mut served = Conn::from(served);
            copy(&mut served, to).await?;
            served.close().await?;
        }
        Err(error) => return Err(error),
    }
    file.sync_all()?;
    sync_folder(to)?;
    Ok(())
}

async fn copy(conn: &mut Conn, to: &Path) -> Result<(), StoreError> {
    // A name that is no text cannot be said in SQL.
    let to = to.to_str().ok_or(StoreError::Url("the path is no text"))?;
    query("VACUUM INTO $1").bind(to).execute(conn).await?;
    Ok(())
}
