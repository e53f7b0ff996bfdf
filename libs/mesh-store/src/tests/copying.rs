//! A database moves to another place, and back.

use std::path::{Path, PathBuf};

use mesh_testkit::postgres;
use mesh_types::{ManualClock, Timestamp};

use crate::conformance::{Checked, behind, carry_out};
use crate::cursor::{self, Cursor};
use crate::offline::Offline;
use crate::sql::query;
use crate::{
    Copied, Database, Location, Migrator, RequestKey, Scope, Store, StoreError, copy, fingerprint,
    log,
};

static MIGRATIONS: Migrator = sqlx::migrate!("src/conformance/migrations");
const SCOPE: Scope<'static> = Scope {
    rpc: "List",
    caller: "A",
    filter: &[1; 32],
};
const EVENTS: u64 = 40;

/// A folder with a database that a service has used and closed.
struct Place {
    folder: tempfile::TempDir,
    token: String,
    seen: Cursor,
}

impl Place {
    async fn used() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let store = Store::open(&Database::existing_or_new(url), &MIGRATIONS).await?;
        let (token, seen) = (store.tokens().seal(&SCOPE, b"key"), fill(&store).await?);
        store.close().await;
        Ok(Self {
            folder,
            token,
            seen,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }
}

/// Events, kept answers, rows with and without values, a follower; gives the log's end.
async fn fill(store: &Store) -> Result<Cursor, StoreError> {
    let log = "flags".parse().unwrap();
    let clock = ManualClock::new(Timestamp::from_micros(7));
    store.make_logs(&[&log], &clock).await?;
    let mut tx = store.begin_write(Timestamp::from_micros(7)).await?;
    tx.lock(&log).await?;
    for number in 1..=EVENTS {
        tx.append(&log, |_| format!("é\0{number}").into_bytes())?;
        let key = RequestKey {
            party: "Zoë".to_owned(),
            rpc: "Put".into(),
            request_id: number.to_string(),
        };
        tx.look_up([&key]).await?;
        tx.keep(&key, fingerprint([b"x".as_slice()]), Vec::new())?;
        let id = i64::try_from(number).unwrap_or(0) - 20;
        query("INSERT INTO item (id, parent, sequence) VALUES ($1, $2, $3)")
            .bind(id)
            .bind((id > 0).then_some(id - 1))
            .bind(i64::MAX)
            .execute(tx.conn())
            .await?;
    }
    let seen = Cursor::from(tx.head(&log)?);
    let moved = cursor::advance(tx.conn(), "a follower", None, &seen).await?;
    assert_eq!(moved, cursor::Advance::Moved);
    tx.commit().await?;
    Ok(seen)
}

fn schemas() -> [&'static Migrator; 1] {
    [&MIGRATIONS]
}

async fn copied(from: &Location, to: &Location) -> Result<Copied, StoreError> {
    let mut rows = 0;
    let copied = copy(from, to, &schemas(), |more| rows += more).await?;
    let all: u64 = copied.tables.iter().map(|table| table.rows).sum();
    assert_eq!(all, rows, "every row is heard of");
    Ok(copied)
}

fn file(path: &Path) -> Location {
    path.into()
}

async fn events(at: &Location) -> Result<Vec<(String, i64, Vec<u8>, Vec<u8>)>, StoreError> {
    use futures::TryStreamExt as _;
    let mut copy = Offline::open(at).await?;
    let row =
        |event: crate::offline::OfflineEvent| (event.log, event.sequence, event.hash, event.event);
    copy.events().map_ok(row).try_collect().await
}

fn unfit<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unfit(unfit)) => unfit.to_string(),
        other => panic!("{other:?}"),
    }
}

/// There and back: every table is the same, and the service goes on at either end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_moves_to_a_server_and_back() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let place = Place::used().await?;
    let (here, there) = (file(&place.file("store.db")), database.url().parse()?);
    let moved = copied(&here, &there).await?;
    let items = moved.tables.iter().find(|table| table.name == "item");
    assert_eq!(items.map(|table| table.rows), Some(EVENTS));
    assert_eq!(moved.logs.len(), 1);
    assert_eq!(events(&there).await?, events(&here).await?);

    let back = file(&place.file("back/store.db"));
    let returned = copied(&there, &back).await?;
    assert_eq!(returned, moved);
    assert_eq!(events(&back).await?, events(&here).await?);
    let beside = std::fs::read_to_string(place.file("back/store.db.witness"))?;
    assert!(beside.contains("log flags"), "{beside}");

    for url in [
        database.url(),
        format!("sqlite://{}", place.file("back/store.db").display()),
    ] {
        let store = Store::open(&Database::existing(url), &MIGRATIONS).await?;
        assert_eq!(store.tokens().open(&SCOPE, &place.token)?, b"key");
        assert_eq!(store.judge_seen(&place.seen).await?, crate::Seen::Fits);
        let log = "flags".parse()?;
        let mut tx = store.begin_write(Timestamp::from_micros(8)).await?;
        tx.lock(&log).await?;
        assert_eq!(tx.head(&log)?.position, place.seen.position);
        tx.append(&log, |_| b"goes on".to_vec())?;
        tx.commit().await?;
        let whole = crate::verify::verify(store.readers(), &log).await?;
        assert_eq!(whole.map(|head| head.position.sequence), Ok(EVENTS + 1));
        store.close().await;
    }
    Ok(())
}

/// Both ends stay as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_must_not_be_made_is_refused_and_changes_nothing() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let place = Place::used().await?;
    let (here, there): (_, Location) = (file(&place.file("store.db")), database.url().parse()?);

    // In use, at either end.
    let url = format!("sqlite://{}", place.file("store.db").display());
    let store = Store::open(&Database::existing(&url), &MIGRATIONS).await?;
    let in_use = copied(&here, &there).await;
    assert!(matches!(in_use, Err(StoreError::InUse)), "{in_use:?}");
    store.close().await;
    drop(store);
    let named = Database::existing_or_new(database.url());
    let store = Store::open(&named, &MIGRATIONS).await?;
    fill(&store).await?;
    for (from, to) in [(&here, &there), (&there, &file(&place.file("new.db")))] {
        let said = unfit(copied(from, to).await);
        assert!(said.contains("in use by mp169"), "{said}");
        assert!(!said.contains(database.server().password()), "{said}");
    }
    store.close().await;
    drop(store);

    // Not empty.
    let rows = "SELECT count(*) FROM item";
    assert_eq!(database.sql(rows), EVENTS.to_string());
    for to in [&there, &here] {
        let said = unfit(copied(if to.file().is_some() { &there } else { &here }, to).await);
        assert!(said.contains("not empty"), "{said}");
    }
    assert_eq!(database.sql(rows), EVENTS.to_string());

    // Of a schema that nobody knows here.
    let unknown = copy(&here, &file(&place.file("new.db")), &[], |_| ()).await;
    assert!(
        matches!(unknown, Err(StoreError::Inconsistent { .. })),
        "{unknown:?}"
    );
    let expected = ["store.db", "store.db.witness"];
    assert_eq!(place.names(), expected);
    Ok(())
}

/// A log that somebody has seen more of is not carried on elsewhere, as if nobody had said so.
#[tokio::test]
async fn a_log_that_went_back_is_not_copied() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let place = Place::used().await?;
    let mut more = place.seen.clone();
    more.position.sequence += 1;
    let url = format!("sqlite://{}", place.file("store.db").display());
    let (here, there) = (url.parse()?, database.url().parse()?);
    copied(&here, &there).await?;
    for (url, from) in [(url, here), (database.url(), there)] {
        let store = Store::open(&Database::existing(url), &MIGRATIONS).await?;
        store.went_back(&more, "classification");
        store.close().await;
        drop(store);
        let refused = copied(&from, &file(&place.file("new.db"))).await;
        assert!(
            matches!(refused, Err(StoreError::WentBack { .. })),
            "{refused:?}"
        );
    }
    Ok(())
}

/// What is copied is what can be read: a value that the other engine does not hold, or a log that is not
/// whole, leaves the target empty.
#[tokio::test]
async fn a_copy_that_fails_leaves_nothing() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    for (attack, target) in [
        // PostgreSQL has no text with a zero in it.
        (
            "UPDATE cursor SET follower = 'a' || char(0)",
            database.url(),
        ),
        (
            "UPDATE log_event SET event = x'00' WHERE sequence = 1",
            database.url(),
        ),
        (
            "UPDATE log_event SET event = x'00' WHERE sequence = 1",
            String::new(),
        ),
    ] {
        let place = Place::used().await?;
        let url = format!("sqlite://{}", place.file("store.db").display());
        let mut conn = behind(&url).await?;
        carry_out(&mut conn, attack).await?;
        conn.close().await?;
        let to = match target.as_str() {
            "" => file(&place.file("new.db")),
            url => url.parse()?,
        };
        let failed = copied(&file(&place.file("store.db")), &to).await;
        assert!(failed.is_err(), "{attack}: {failed:?}");
        assert_eq!(place.names(), ["store.db", "store.db.witness"], "{attack}");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(database.sql(tables), "0", "{attack}");
    }
    Ok(())
}

/// A role that may not make tables finds them made.
#[tokio::test]
async fn a_database_that_is_prepared_is_filled() -> Checked {
    let Some(database) = postgres::database() else {
        return Ok(());
    };
    let place = Place::used().await?;
    let mut conn = behind(&database.url()).await?;
    conn.migrate(&crate::schema::merged(&MIGRATIONS)?).await?;
    conn.close().await?;
    let there: Location = database.url().parse()?;
    copied(&file(&place.file("store.db")), &there).await?;
    let mut copy = Offline::open(&there).await?;
    let heads = log::heads(copy.conn(), "").await?;
    assert_eq!(heads[0].position, place.seen.position);
    Ok(())
}
