//! Is the file whole, of which only a part is read each day?
//!
//! SQLite reads a page when it needs it, and notices only some kinds of damage then. So all tables
//! and indexes are looked at soon after a start, daily, and at once when a read meets damage.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio_util::sync::CancellationToken;

use crate::StoreError;
use crate::guard::Guard;
use crate::sqlite::LOCK_PATIENCE;
use crate::suspicion::suspicions;
use crate::trouble::Trouble;

const INTERVAL: Duration = Duration::from_hours(24);

/// Looks at the database file at `path`, again and again. What is found stops all writing.
pub(crate) async fn checks(path: &Path, guard: &Guard, stop: &CancellationToken) {
    let mut suspicions = suspicions();
    loop {
        suspicions.borrow_and_update();
        match damage(path, stop).await {
            Ok(None) => tracing::debug!("the database file was checked and is whole"),
            Ok(Some(damage)) => {
                tracing::error!(damage, "the database file was checked and is damaged");
                guard.gate.raise(Trouble::Damaged);
                // There is nothing more to find out.
                return;
            }
            Err(error) => tracing::error!(%error, "the database file cannot be checked"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
            _ = suspicions.changed() => {}
        }
    }
}

/// What is wrong with the first table that is not whole, or with one of its indexes. Table by table,
/// so that no read lasts as long as the whole would take.
pub(crate) async fn damage(
    path: &Path,
    stop: &CancellationToken,
) -> Result<Option<String>, StoreError> {
    match look(path, stop).await {
        Err(StoreError::Inconsistent { what, .. }) => Ok(Some(what.into_owned())),
        looked => looked,
    }
}

async fn look(path: &Path, stop: &CancellationToken) -> Result<Option<String>, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut conn = options.busy_timeout(LOCK_PATIENCE).connect().await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            .fetch_all(&mut conn)
            .await?;
    let mut damage = None;
    for table in tables {
        if stop.is_cancelled() {
            break;
        }
        let table = table.replace('"', "\"\"");
        let check = format!("PRAGMA integrity_check(\"{table}\")");
        let found: String = sqlx::query_scalar(AssertSqlSafe(check))
            .fetch_one(&mut conn)
            .await?;
        if found != "ok" {
            damage = Some(found);
            break;
        }
    }
    conn.close().await?;
    Ok(damage)
}
