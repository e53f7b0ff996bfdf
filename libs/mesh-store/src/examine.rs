//! Is the database that is about to be opened the one that was here, whole and with all that was
//! acknowledged?
//!
//! Nothing is changed while this is looked at: what is refused stays as it was found, so that an
//! operator can still make the best of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use futures::TryStreamExt as _;
use mesh_types::{LogName, Sequence, chain};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::cursor;
use crate::database::Unfit;
use crate::log;
use crate::seen;
use crate::sql::{Conn, query_as, query_scalar};
use crate::sqlite::beside;
use crate::wal::{self, Survey};
use crate::witness::Remembered;
use crate::witness::file::{Beside, read};
use crate::witness::judge::{Remains, Standing, judge};
use crate::{StoreError, sequence_from_db};

/// How many events at the end of each log are checked against their hashes before a start.
const LAST: Sequence = 1_000;

/// What stands where a database should be.
#[derive(Debug)]
pub(crate) enum Found {
    /// None, and a new one may be made.
    New,
    /// One that fits what its witness remembers, if there is one.
    Database(Option<Box<Remembered>>),
}

/// Looks at the database file at `path`, which nobody has open. `create` is the leave to make a new
/// one.
pub(crate) async fn examine(path: &Path, create: bool) -> Result<Found, StoreError> {
    let owned = || path.to_owned();
    let remembered = match read(path)? {
        Beside::Nothing => None,
        Beside::Damaged => return Err(Unfit::WitnessDamaged { path: owned() }.into()),
        Beside::Witness(remembered) => Some(remembered),
    };
    let new = create && remembered.is_none();
    let length = match path.metadata() {
        Ok(file) => Some(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match length {
        None if remembered.is_some() => return Err(Unfit::Lost { path: owned() }.into()),
        None | Some(0) if new && wal_length(path) == 0 => return Ok(Found::New),
        None => return Err(Unfit::Missing { path: owned() }.into()),
        Some(0) => return Err(Unfit::Empty { path: owned() }.into()),
        Some(length) => whole(path, length)?,
    }
    let acknowledged = remembered.as_ref().and_then(|remembered| remembered.wal);
    if let Some(what) = wal::judge(acknowledged, remembered.is_some(), survey(path)?) {
        return Err(Unfit::WalDamaged {
            path: owned(),
            what,
        }
        .into());
    }
    let content = content(path, remembered.as_deref()).await;
    match content.map_err(|error| damaged(path, error))? {
        Content::Nothing if new => Ok(Found::New),
        Content::Nothing => Err(Unfit::Empty { path: owned() }.into()),
        Content::Misfit(what) => Err(Unfit::Damaged {
            path: owned(),
            what,
        }
        .into()),
        Content::Standing(standing) => {
            if let Some(remembered) = &remembered {
                judge(path, remembered, &standing)?;
            }
            Ok(Found::Database(remembered))
        }
    }
}

/// Whether the file begins as a database does and is as long as it says itself.
/// <https://sqlite.org/fileformat.html#the_database_header>
fn whole(path: &Path, length: u64) -> Result<(), StoreError> {
    let mut header = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut header)?;
    let damaged = |what: &str| {
        let (path, what) = (path.to_owned(), what.to_owned());
        Err(Unfit::Damaged { path, what }.into())
    };
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return damaged("it is no database");
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    // Pages that are only in the -wal are not in the file yet.
    if length < page * u64::from(pages) && wal_length(path) == 0 {
        return damaged("it is shorter than it says itself");
    }
    Ok(())
}

fn wal_length(path: &Path) -> u64 {
    let wal = beside(path, "-wal").metadata();
    wal.map_or(0, |wal| wal.len())
}

fn survey(path: &Path) -> io::Result<Survey> {
    match File::open(beside(path, "-wal")) {
        Ok(wal) => wal::survey(io::BufReader::with_capacity(1 << 20, wal)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Survey::Empty),
        Err(error) => Err(error),
    }
}

/// What SQLite cannot read is damaged.
fn damaged(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Inconsistent { table, what } => Unfit::Damaged {
            path: path.to_owned(),
            what: format!("{table}: {what}"),
        }
        .into(),
        other => other,
    }
}

enum Content {
    /// No tables.
    Nothing,
    /// An event or a head at the end of a log that does not fit.
    Misfit(String),
    Standing(Standing),
}

async fn content(path: &Path, remembered: Option<&Remembered>) -> Result<Content, StoreError> {
    let mut conn = untouched(path).await?;
    let content = read_content(&mut conn, remembered).await;
    conn.close().await?;
    content
}

/// A connection that leaves the file and its `-wal` as they are.
async fn untouched(path: &Path) -> Result<Conn, StoreError> {
    let filled = |suffix| {
        let file = beside(path, suffix).metadata();
        file.is_ok_and(|file| file.len() > 0)
    };
    let options = SqliteConnectOptions::new().filename(path);
    let options = if filled("-wal") {
        // Reads the -wal, too, and cannot bring the file up to date from it.
        options.read_only(true)
    } else if filled("-journal") {
        // Left by a process that ended while it made the file: nothing can be read before SQLite
        // has taken back what was not committed.
        options
    } else {
        options.read_only(true).immutable(true)
    };
    Ok(options.connect().await?.into())
}

async fn read_content(
    conn: &mut Conn,
    remembered: Option<&Remembered>,
) -> Result<Content, StoreError> {
    let tables: Vec<String> = query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut *conn)
        .await?;
    let has = |table: &str| tables.iter().any(|name| name == table);
    if tables.is_empty() {
        return Ok(Content::Nothing);
    }
    if has("log_head")
        && has("log_event")
        && let Some(misfit) = last_misfit(conn).await?
    {
        return Ok(Content::Misfit(misfit));
    }
    // From before databases had names and logs had histories.
    if !has("database_identity") {
        return Ok(Content::Standing(Standing::default()));
    }
    let (identity, pulse) = identity(conn).await?;
    let mut standing = Standing {
        identity,
        pulse,
        logs: Vec::new(),
        cursors: cursor::all(conn).await?,
    };
    for seen in remembered.iter().flat_map(|it| it.logs.values()) {
        let head = log::head(conn, &seen.position.log).await?;
        standing.logs.push(Remains {
            remembered: seen.clone(),
            judged: seen::judge(conn, seen).await?,
            last: head.map(|head| head.position.sequence),
        });
    }
    Ok(Content::Standing(standing))
}

/// Which database it is, and how often its heart has beaten.
pub(crate) async fn identity(
    conn: &mut Conn,
) -> Result<(Option<crate::witness::Identity>, i64), StoreError> {
    let row: Option<(Vec<u8>, i64)> =
        query_as("SELECT identity, pulse FROM database_identity WHERE id = 1")
            .fetch_optional(conn)
            .await?;
    Ok(row.map_or((None, 0), |(identity, pulse)| {
        (identity.try_into().ok(), pulse)
    }))
}

/// The first of the last events of all logs that does not fit those before it.
async fn last_misfit(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    let heads: Vec<(String, i64, Vec<u8>)> =
        query_as("SELECT log, sequence, hash FROM log_head ORDER BY log")
            .fetch_all(&mut *conn)
            .await?;
    for (log, sequence, hash) in heads {
        let malformed = |_| StoreError::inconsistent(log::HEADS, "a log's name is malformed");
        let log: LogName = log.parse().map_err(malformed)?;
        let end = (sequence_from_db(log::HEADS, sequence)?, hash);
        if let Some(sequence) = misfit_before(conn, &log, end).await? {
            return Ok(Some(format!(
                "event {sequence} of the log {log} does not fit"
            )));
        }
    }
    Ok(None)
}

async fn misfit_before(
    conn: &mut Conn,
    log: &LogName,
    (last, hash): (Sequence, Vec<u8>),
) -> Result<Option<Sequence>, StoreError> {
    let after = last.saturating_sub(LAST);
    let mut next = after + 1;
    let mut reached = None;
    let mut rows = log::scan(conn, log, after, u32::MAX);
    while let Some(row) = rows.try_next().await? {
        let event = log::event_from_db(row)?;
        let linked = chain::link(&event.previous_hash, event.sequence, &event.event);
        let goes_on = reached.is_none_or(|reached| reached == event.previous_hash);
        // One behind the head is one too many.
        if event.sequence != next || event.sequence > last || !goes_on || linked != event.hash {
            return Ok(Some(next));
        }
        reached = Some(event.hash);
        next += 1;
    }
    let ends = next == last + 1 && reached.is_none_or(|reached| reached.as_slice() == hash);
    Ok((!ends).then_some(next))
}
