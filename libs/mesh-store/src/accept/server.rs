//! What is done with databases on a server when an operator accepts a loss, or puts a backup in place?
//!
//! A loss is accepted in one transaction. A backup is made ready in a file of its own, as if it were restored
//! beside it, and then copied; what it replaces is renamed.

use std::path::Path;

use sqlx::migrate::Migrator;

use super::{Accepted, Before, Decision, Resolve, begin_anew, file};
use crate::copy::{is_prepared, put_into_server, remembered, schema_of};
use crate::offline::Offline;
use crate::postgres::Server;
use crate::schema::{LIBRARY, applied};
use crate::sql::Conn;
use crate::{StoreError, catalogue, claim, log};

/// Who remembers what is replaced.
const REPLACED: &str = "the database that was there";

pub(super) async fn accept_loss(
    server: &Server,
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    let mut conn = server.alone_to_write().await?;
    is_of_this_version(&mut conn, server).await?;
    let mut tx = conn.write().await?;
    let damaged = |what: String| server.unfit(&format!("it is damaged ({what}): restore a backup"));
    let (accepted, _) = begin_anew(&mut tx, None, decision, damaged).await?;
    match resolve {
        Resolve::CarryOut => tx.commit().await?,
        Resolve::Try => tx.rollback().await?,
    }
    conn.close().await?;
    Ok(accepted)
}

/// Whether all that this library keeps has its tables.
async fn is_of_this_version(conn: &mut Conn, server: &Server) -> Result<(), StoreError> {
    let applied = applied(conn).await?;
    if applied.is_empty() {
        return Err(server.unfit("no service has ever written to it"));
    }
    let has = |version| applied.get(version).is_some_and(|applied| applied.success);
    if LIBRARY.iter().all(|it| has(&it.version)) {
        return Ok(());
    }
    Err(server.unfit("its tables are those of another version: bring them up to date first, with `mp169 db migrate`"))
}

pub(super) async fn restore(
    backup: &Path,
    server: &Server,
    replace: bool,
    schemas: &[&Migrator],
    decision: &Decision,
    resolve: Resolve,
) -> Result<Accepted, StoreError> {
    let there = there(server).await?;
    if there.is_used && !replace {
        return Err(server.unfit(
            "there is one already: say that it is to be replaced, and it is kept under another name",
        ));
    }
    let folder = tempfile::tempdir()?;
    let ready = folder.path().join("restored.db");
    crate::backup(backup, &ready, &[]).await?;
    let accepted = file::begin_anew(&ready, there.before.as_ref(), decision).await?;
    let mut source = Offline::open(&ready).await?;
    let (_, migrations) = schema_of(&mut source, schemas).await?;
    if resolve == Resolve::Try {
        return Ok(accepted);
    }
    if there.exists && !there.is_used {
        put_into_server(source.conn(), server, &migrations, &mut |_| ()).await?;
        return Ok(accepted);
    }
    let fresh = server.fresh().await?;
    put_into_server(source.conn(), &fresh, &migrations, &mut |_| ()).await?;
    let mut kept = Vec::new();
    if there.is_used {
        kept.push(server.move_away(decision.at.micros()).await?);
    }
    fresh.rename(server.name()).await?;
    Ok(Accepted { kept, ..accepted })
}

/// What there is where a backup is to be put.
struct There {
    /// Whether there is a database of this name.
    exists: bool,
    /// Whether there is anything in it.
    is_used: bool,
    /// What a service's knows of itself, if it can be read.
    before: Option<Before>,
}

async fn there(server: &Server) -> Result<There, StoreError> {
    if !server.exists().await? {
        return Ok(There {
            exists: false,
            is_used: false,
            before: None,
        });
    }
    let mut conn = server.alone().await?;
    let is_used = !catalogue::names(&mut conn).await?.is_empty() && !is_prepared(&mut conn).await?;
    let before = match before(&mut conn).await {
        Ok(before) => Some(before),
        Err(error) => {
            tracing::debug!(%error, "what is replaced cannot be read");
            None
        }
    };
    conn.close().await?;
    Ok(There {
        exists: true,
        is_used,
        before: before.filter(|_| is_used),
    })
}

async fn before(conn: &mut Conn) -> Result<Before, StoreError> {
    let heads = log::heads(conn, "").await?;
    let mut remembered = remembered(conn, &heads).await?;
    remembered.claims = claim::all(conn).await?;
    let by = REPLACED;
    Ok(Before { remembered, by })
}
