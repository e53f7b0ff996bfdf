//! Database files that somebody has changed, cut off or taken while a service ran.

use std::ops::Range;
use std::path::{Path, PathBuf};

use mesh_types::{LogName, Timestamp};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::Offline;
use crate::conformance::Checked;
use crate::sqlite::beside;
use crate::verify::{Misfit, Stamp, Verified, What};
use crate::{Migrator, Store, StoreError, log};

/// The logs of a file and how many events each has.
const LOGS: [(&str, u64); 3] = [("csp/a", 1), ("kept", 3), ("none", 0)];

fn read_stamp(event: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(event).ok()?;
    let (sequence, micros) = text.split_once(' ')?;
    Some(Stamp {
        sequence: sequence.parse().ok()?,
        recorded_time: Timestamp::from_micros(micros.parse().ok()?),
    })
}

async fn open(folder: &Path) -> Result<(Store, PathBuf), StoreError> {
    let path = folder.join("store.db");
    let database = crate::Database::existing_or_new(format!("sqlite://{}", path.display()));
    let store = Store::open(&database, &Migrator::with_migrations(Vec::new())).await?;
    Ok((store, path))
}

async fn append(store: &Store, name: &str, events: u64) -> Checked {
    let log: LogName = name.parse()?;
    let mut tx = store.begin_write(Timestamp::from_micros(7)).await?;
    tx.create_log(&log, log::random_epoch()).await?;
    tx.lock(&log).await?;
    for _ in 0..events {
        tx.append(&log, |stamp| {
            let micros = stamp.recorded_time.micros();
            format!("{} {micros}", stamp.position.sequence).into_bytes()
        })?;
    }
    Ok(tx.commit().await?)
}

/// A file with [`LOGS`] that nobody has open.
async fn file(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
    let (store, path) = open(folder).await?;
    for (log, events) in LOGS {
        append(&store, log, events).await?;
    }
    store.close().await;
    Ok(path)
}

async fn verify(path: &Path) -> Result<Vec<Verified>, StoreError> {
    let mut file = Offline::open(path).await?;
    file.verify(read_stamp, || ()).await
}

/// The first misfit of each log that has one.
fn misfits(verified: &[Verified]) -> Vec<(&str, Misfit)> {
    let misfit = |log: &Verified| log.found.clone().err();
    let all = verified.iter();
    all.filter_map(|log| Some((log.log.as_str(), misfit(log)?)))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_read_without_a_trace() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let before = (names(folder.path()), std::fs::read(&path)?);
    let verified = verify(&path).await?;
    let whole = verified.iter().map(|log| {
        let head = log.found.clone().map(|head| head.position.sequence);
        (log.log.as_str(), head.unwrap_or(u64::MAX))
    });
    assert_eq!(whole.collect::<Vec<_>>(), LOGS);
    assert_eq!(Offline::open(&path).await?.damage().await?, None);
    assert_eq!((names(folder.path()), std::fs::read(&path)?), before);
    Ok(())
}

#[tokio::test]
async fn a_copy_is_read_with_its_wal_and_a_file_in_use_is_not() -> Checked {
    let folder = tempfile::tempdir()?;
    let (store, path) = open(folder.path()).await?;
    append(&store, "kept", 5).await?;
    let used = Offline::open(&path).await;
    assert!(matches!(used, Err(StoreError::InUse)), "{used:?}");

    let other = tempfile::tempdir()?;
    let copy = other.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&path, suffix), beside(&copy, suffix))?;
    }
    let wal = std::fs::read(beside(&copy, "-wal"))?;
    assert!(!wal.is_empty());
    let verified = verify(&copy).await?;
    assert_eq!(verified[0].found.clone()?.position.sequence, 5);
    assert_eq!(Offline::open(&copy).await?.damage().await?, None);
    assert_eq!(names(other.path()), ["copy.db", "copy.db-wal"]);
    assert_eq!(std::fs::read(beside(&copy, "-wal"))?, wal);
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_is_found_at_its_event() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let whole = std::fs::read(&path)?;
    let event = whole
        .windows(3)
        .position(|octets| octets == b"2 7")
        .unwrap();
    for bit in 0..3 * 8 {
        let mut damaged = whole.clone();
        damaged[event + bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, damaged)?;
        let (sequence, what) = (2, What::Hash);
        let found = verify(&path).await?;
        assert_eq!(misfits(&found), [("kept", Misfit { sequence, what })]);
    }
    Ok(())
}

/// SQLite itself would end the log before the frame with the flipped bit, and call that whole.
#[tokio::test]
async fn a_flipped_bit_in_a_wal_is_found_at_its_event() -> Checked {
    let folder = tempfile::tempdir()?;
    let (store, path) = open(folder.path()).await?;
    append(&store, "before", 1).await?;
    append(&store, "kept", 3).await?;
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy)?;
    let wal = std::fs::read(beside(&path, "-wal"))?;
    let event = wal.windows(3).rposition(|octets| octets == b"2 7").unwrap();
    // Octets all over the file, and every one of the event.
    let octets = (0..wal.len()).step_by(1_009).chain(event..event + 3);
    for octet in octets {
        let mut damaged = wal.clone();
        damaged[octet] ^= 1;
        std::fs::write(beside(&copy, "-wal"), damaged)?;
        let mut file = match Offline::open(&copy).await {
            Ok(file) => file,
            Err(StoreError::Inconsistent { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        assert_ne!(file.damage().await?, None, "octet {octet}");
        let found = file.verify(read_stamp, || ()).await?;
        if (event..event + 3).contains(&octet) {
            let (sequence, what) = (2, What::Hash);
            assert_eq!(misfits(&found), [("kept", Misfit { sequence, what })]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_service_waits_until_its_file_has_been_read() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let reading = Offline::open(&path).await?;
    let service = open(folder.path()).await;
    assert!(matches!(service, Err(StoreError::InUse)), "{service:?}");
    drop(reading);
    open(folder.path()).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_database_of_a_service_is_refused() -> Checked {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing.db");
    let refused = Offline::open(&missing).await;
    assert!(matches!(refused, Err(StoreError::File(_))), "{refused:?}");
    assert!(!missing.exists());
    let whole = std::fs::read(file(folder.path()).await?)?;
    for content in [&b""[..], b"a letter", &[7; 8192], &whole[..2_000]] {
        let path = folder.path().join("other.db");
        std::fs::write(&path, content)?;
        let refused = Offline::open(&path).await;
        let inconsistent = matches!(refused, Err(StoreError::Inconsistent { .. }));
        assert!(inconsistent, "{refused:?}");
    }
    Ok(())
}

/// The bits of a stored value, each flipped once: the SQL of the value and what it becomes.
fn flips(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..value.len() * 8).map(|bit| {
        let mut flipped = value.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// One value in a table without constraints, which could refuse what a disk would not.
struct Cell {
    table: &'static str,
    column: &'static str,
    row: i64,
}

impl Cell {
    /// Every value that the cell takes when one of its bits is flipped is set, and then `found`
    /// looks at what the check says.
    async fn flip(
        &self,
        conn: &mut SqliteConnection,
        path: &Path,
        found: impl Fn(&[(&str, Misfit)]),
    ) -> Checked {
        let Self { table, column, row } = self;
        let select = format!("SELECT {column}, typeof({column}) FROM {table} WHERE rowid = {row}");
        let read = sqlx::query(sqlx::AssertSqlSafe(select))
            .fetch_one(&mut *conn)
            .await?;
        let kind: String = read.get(1);
        let whole = match kind.as_str() {
            "integer" => read.get::<i64, _>(0).to_be_bytes().to_vec(),
            "text" => read.get::<String, _>(0).into_bytes(),
            _ => read.get(0),
        };
        let set = match kind.as_str() {
            "text" => format!("UPDATE {table} SET {column} = CAST($1 AS TEXT) WHERE rowid = {row}"),
            _ => format!("UPDATE {table} SET {column} = $1 WHERE rowid = {row}"),
        };
        for value in flips(&whole).chain([whole.clone()]) {
            let query = sqlx::query(sqlx::AssertSqlSafe(set.clone()));
            let query = match <[u8; 8]>::try_from(value.as_slice()) {
                Ok(number) if kind == "integer" => query.bind(i64::from_be_bytes(number)),
                _ => query.bind(value.clone()),
            };
            query.execute(&mut *conn).await?;
            let verified = verify(path).await?;
            if value == whole {
                assert_eq!(misfits(&verified), []);
            } else {
                found(&misfits(&verified));
            }
        }
        Ok(())
    }
}

/// The file without constraints and without a journal, open for writing.
async fn unguarded(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?;
    sqlx::raw_sql(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; \
         CREATE TABLE event AS SELECT * FROM log_event; DROP TABLE log_event; \
         ALTER TABLE event RENAME TO log_event; \
         CREATE TABLE head AS SELECT * FROM log_head; DROP TABLE log_head; \
         ALTER TABLE head RENAME TO log_head",
    )
    .execute(&mut conn)
    .await?;
    Ok(conn)
}

#[tokio::test]
async fn every_bit_of_every_event_counts() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let mut conn = unguarded(&path).await?;
    // The second of three events, which has one before it and one behind it.
    let (table, row, sequence) = ("log_event", 3, 2);
    for (column, what) in [
        ("log", What::Missing),
        ("sequence", What::Missing),
        ("recorded_time", What::Stamp),
        ("previous_hash", What::PreviousHash),
        ("hash", What::Hash),
        ("event", What::Hash),
    ] {
        let cell = Cell { table, column, row };
        let expected = ("kept", Misfit { sequence, what });
        cell.flip(&mut conn, &path, |found| {
            assert!(found.contains(&expected), "{column}: {found:?}");
            // A log that has this event alone has no head.
            assert_eq!(found.len(), if column == "log" { 2 } else { 1 });
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_bit_of_every_head_counts() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let mut conn = unguarded(&path).await?;
    for (row, (log, events)) in (1..).zip(LOGS) {
        for column in [
            "log",
            "epoch",
            "first_epoch",
            "sequence",
            "hash",
            "recorded_time",
        ] {
            let cell = Cell {
                table: "log_head",
                column,
                row,
            };
            cell.flip(&mut conn, &path, |found| {
                // Another name for the head of an empty log is another log's head.
                let named = found.iter().find(|(name, _)| *name == log);
                let (_, misfit) = named.or(found.first()).expect("nothing is found");
                let end = Misfit {
                    sequence: events,
                    what: What::Head,
                };
                match column {
                    "hash" | "recorded_time" => assert_eq!(*misfit, end),
                    // An epoch of zero, or a negative one, makes the head unreadable.
                    "epoch" => assert!(
                        misfit.what == What::Epoch || misfit.what == What::NoHead,
                        "{misfit:?}"
                    ),
                    "sequence" => assert!(misfit.sequence <= events + 1, "{misfit:?}"),
                    _ => assert!(misfit.sequence <= 1, "{misfit:?}"),
                }
            })
            .await?;
        }
    }
    Ok(())
}

/// Bits of the file itself: not only values can flip, but also what says how to read them.
#[tokio::test]
async fn every_bit_of_the_pages_that_hold_the_logs_counts() -> Checked {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path()).await?;
    let whole = std::fs::read(&path)?;
    for table in ["log_head", "log_event"] {
        for octet in rows_of(table, &whole, &path).await? {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[octet] ^= 1 << bit;
                std::fs::write(&path, damaged)?;
                let mut file = Offline::open(&path).await?;
                let found = match file.verify(read_stamp, || ()).await {
                    Ok(verified) => !misfits(&verified).is_empty(),
                    Err(StoreError::Inconsistent { .. }) => true,
                    Err(error) => return Err(error.into()),
                };
                let found = found || file.damage().await?.is_some();
                assert!(found, "bit {bit} of octet {octet} in {table}");
            }
            std::fs::write(&path, &whole)?;
        }
    }
    Ok(())
}

/// Where the rows of a small table stand in a file. <https://sqlite.org/fileformat.html>: the header
/// of a page says where its rows begin, and they reach to the page's end.
async fn rows_of(
    table: &str,
    file: &[u8],
    path: &Path,
) -> Result<Range<usize>, Box<dyn std::error::Error + Send + Sync>> {
    let mut conn =
        SqliteConnection::connect(&format!("sqlite://{}?immutable=true", path.display())).await?;
    let root: u32 = sqlx::query_scalar("SELECT rootpage FROM sqlite_master WHERE name = $1")
        .bind(table)
        .fetch_one(&mut conn)
        .await?;
    conn.close().await?;
    let page = (usize::try_from(root)? - 1) * 4096;
    let begin = u16::from_be_bytes([file[page + 5], file[page + 6]]);
    Ok(page + usize::from(begin)..page + 4096)
}

#[tokio::test]
async fn what_stands_behind_a_damaged_page_is_unreadable() -> Checked {
    let folder = tempfile::tempdir()?;
    let (store, path) = open(folder.path()).await?;
    append(&store, "before", 1).await?;
    append(&store, "kept", 500).await?;
    store.close().await;
    drop(store);
    let mut whole = std::fs::read(&path)?;
    let is_200 = |octets: &[u8]| octets == b"200 7";
    let event = whole.windows(5).position(is_200).unwrap();
    whole.chunks_mut(4096).nth(event / 4096).unwrap().fill(0);
    std::fs::write(&path, whole)?;
    let verified = verify(&path).await?;
    let [(log, misfit)] = misfits(&verified)[..] else {
        panic!("{verified:?}");
    };
    assert_eq!((log, misfit.what), ("kept", What::Unreadable));
    assert!((100..=200).contains(&misfit.sequence), "{misfit}");
    Ok(())
}
