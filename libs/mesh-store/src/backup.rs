//! How is a database copied while its service writes to it?

use std::fs::File;
use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::StoreError;
use crate::offline::OfflineFile;
use crate::sql::{Conn, query};
use crate::sqlite::{LOCK_PATIENCE, private};

/// Copies the database file at `from` into the new file `to`: one committed state of all its tables,
/// in one file that needs none beside it, and on the disk when this returns. Nobody but the owner may
/// read it.
///
/// A service may have the database open and write to it meanwhile; it is neither stopped nor slowed
/// down by a lock. What a crash left beside a file that no service has open is copied with it, and not
/// changed. A file at `to` that is not empty is an error, and so is a damaged database.
pub async fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let file = private(to)?;
    match OfflineFile::open(from).await {
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
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

async fn copy(conn: &mut Conn, to: &Path) -> Result<(), StoreError> {
    // A name that is no text cannot be said in SQL.
    let to = to.to_str().ok_or(StoreError::Url("the path is no text"))?;
    query("VACUUM INTO $1").bind(to).execute(conn).await?;
    Ok(())
}
