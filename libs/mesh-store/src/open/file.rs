//! How is a database file claimed, examined and opened?

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sqlx::migrate::Migrator;

use super::{Opened, Place};
use crate::attend::first_beat;
use crate::beside::Beside;
use crate::condition::{Gate, tell_claim};
use crate::examine::{Found, examine};
use crate::files::Files;
use crate::guard::Guard;
use crate::sql::Conn;
use crate::sqlite::{self, beside};
use crate::trouble::Trouble;
use crate::witness::file::WitnessFile;
use crate::witness::recorder::Recorder;
use crate::witness::{Claim, Remembered};
use crate::{StoreError, Unfit, claim, cursor, log};

/// Opens the file at `path` and brings its schema up to date.
pub(super) async fn open(
    path: &Path,
    create: bool,
    migrations: &Migrator,
) -> Result<Opened, StoreError> {
    let lock = claim(path, create)?;
    let remembered = match examine(path, create).await? {
        Found::New => None,
        Found::Database(remembered) => remembered,
    };
    let remembered = remembered.map(|remembered| without_finished_wal(path, *remembered));
    let remembered = remembered.transpose()?;
    let opened = sqlite::open(path).await?;
    let mut conn = opened.writer.acquire().await?;
    conn.migrate(migrations).await?;
    let claims = remembered.map_or_else(Vec::new, |remembered| remembered.claims);
    let guard = Arc::new(guard(&mut conn, path, claims).await?);
    drop(conn);
    Ok(Opened {
        writer: opened.writer,
        readers: opened.readers,
        guard,
        place: Place::File {
            path: path.to_owned(),
            anchor: Mutex::new(Some(opened.anchor)),
            _lock: lock,
        },
        hints: None,
        lookout: None,
    })
}

/// Locks the database at `path`. Without leave to make one nothing is made beside nothing.
fn claim(path: &Path, create: bool) -> Result<File, StoreError> {
    if create {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
    } else if !path.parent().is_none_or(Path::is_dir) && path.parent() != Some(Path::new("")) {
        let path = path.to_owned();
        return Err(Unfit::Missing { path }.into());
    }
    sqlite::lock(path)
}

/// What watches over the database at `path`, which `conn` has open. `before` are the claims that nobody had
/// answered.
async fn guard(conn: &mut Conn, path: &Path, before: Vec<Claim>) -> Result<Guard, StoreError> {
    let (identity, pulse) = first_beat(conn).await?;
    let gate = Gate::default();
    let claims = claim::standing(conn, before).await?;
    for Claim { seen, by } in &claims {
        tell_claim(&seen.position, by);
        let log = seen.position.log.clone();
        gate.raise(Trouble::WentBack { log });
    }
    let heads = log::heads(conn, "").await?;
    let logs = heads
        .iter()
        .map(|head| (head.position.log.clone(), head.into()));
    let remembered = Remembered {
        identity,
        pulse,
        wal: None,
        logs: logs.collect(),
        cursors: cursor::all(conn).await?,
        claims,
    };
    let recorder = Recorder::start(path, remembered)?;
    let files = Files::of(path)?;
    Ok(Guard::new(gate, Beside::File { recorder, files }))
}

/// Forgets how much of a `-wal` was acknowledged that is gone or empty: all of it is in the database, and
/// the next one has salts that are drawn anew.
pub(crate) fn without_finished_wal(
    path: &Path,
    mut remembered: Remembered,
) -> Result<Remembered, StoreError> {
    let left = beside(path, "-wal").metadata();
    if remembered.wal.is_some() && left.is_ok_and(|wal| wal.len() > 0) {
        return Ok(remembered);
    }
    if remembered.wal.take().is_some() {
        WitnessFile::open(path, &remembered)?.turn().sync_all()?;
    }
    Ok(remembered)
}
