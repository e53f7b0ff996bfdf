//! A log of which item is on which hub, and the table of what holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mesh_api::csp_notification::v1::{CspFlagChange, CspSnapshot, ReducedDevice};
use mesh_follow::{SnapshotPage, SnapshotPages};
use mesh_store::cursor::Cursor;
use mesh_store::sql::{query, query_as};
use mesh_store::{CURRENT, Migrator, Store, StoreError, log, sequence_to_db};
use mesh_testkit::TempDir;
use mesh_types::{LogName, Position, Sequence, Timestamp};
use prost::Message as _;
use sqlx::Connection as _;
use tokio::sync::Semaphore;

static MIGRATIONS: Migrator = sqlx::migrate!("tests/it/migrations");

/// Items in a part of a snapshot: few, so that a snapshot has many.
const PAGE: i64 = 7;

/// The name of item number `number`.
pub(crate) fn item(number: usize) -> String {
    format!("item-{number:04}")
}

/// Items by name, with the hub that each is on.
pub(crate) type Items = BTreeMap<String, String>;

/// The log `csp/north`, empty at first.
#[derive(Clone)]
pub(crate) struct TestLog {
    pub(crate) store: Store,
    pub(crate) name: LogName,
    folder: Arc<TempDir>,
}

impl TestLog {
    pub(crate) async fn new() -> Self {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        let store = Store::open(&mesh_store::Database::existing_or_new(&url), &MIGRATIONS)
            .await
            .unwrap();
        let name = name();
        let mut tx = store.begin_write(Timestamp::from_micros(1)).await.unwrap();
        tx.create_log(&name, log::random_epoch()).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            store,
            name,
            folder: Arc::new(folder),
        }
    }

    /// A copy of the database as it is now, opened as another database. `change` is what is done to
    /// it before, while nobody has it open.
    pub(crate) async fn copy(&self, change: &str) -> Self {
        let folder = mesh_testkit::temp_dir();
        let url = format!("sqlite://{}", folder.path().join("copy.db").display());
        let mut conn = self.store.readers().acquire().await.unwrap();
        query("VACUUM INTO $1")
            .bind(folder.path().join("copy.db").display().to_string())
            .execute(&mut conn)
            .await
            .unwrap();
        if !change.is_empty() {
            let mut conn = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(change.to_owned()))
                .execute(&mut conn)
                .await
                .unwrap();
            conn.close().await.unwrap();
        }
        Self {
            store: Store::open(&mesh_store::Database::existing_or_new(&url), &MIGRATIONS)
                .await
                .unwrap(),
            name: name(),
            folder: Arc::new(folder),
        }
    }

    /// With `count` events, each of a new item.
    pub(crate) async fn with_events(count: usize) -> Self {
        let log = Self::new().await;
        for number in 0..count {
            log.put(&item(number), Some("hub")).await;
        }
        log
    }

    /// What is remembered of it beside the database.
    pub(crate) fn witness(&self) -> PathBuf {
        self.folder.path().join("log.db.witness")
    }

    pub(crate) async fn head(&self) -> Position {
        self.cursor().await.position
    }

    /// Its end, as somebody has seen it who has seen all of it.
    pub(crate) async fn cursor(&self) -> Cursor {
        let mut conn = self.store.readers().acquire().await.unwrap();
        let head = log::head(&mut conn, &self.name).await.unwrap().unwrap();
        Cursor {
            position: head.position,
            hash: head.hash,
        }
    }

    /// Records that an item is on a hub, or on none any more.
    pub(crate) async fn put(&self, item: &str, hub: Option<&str>) -> Sequence {
        let mut tx = self
            .store
            .begin_write(Timestamp::from_micros(2))
            .await
            .unwrap();
        tx.lock(&self.name).await.unwrap();
        let event = CspFlagChange {
            device_id: item.to_owned(),
            communications_hub_id: hub.unwrap_or_default().to_owned(),
            ..CspFlagChange::default()
        };
        let stamp = tx.append(&self.name, |_| event.encode_to_vec()).unwrap();
        let sequence = sequence_to_db(stamp.position.sequence);
        query("UPDATE item SET to_sequence = $1 WHERE device = $2 AND to_sequence = $3")
            .bind(sequence)
            .bind(item)
            .bind(CURRENT)
            .execute(tx.conn())
            .await
            .unwrap();
        if let Some(hub) = hub {
            query("INSERT INTO item (device, from_sequence, to_sequence, hub) VALUES ($1, $2, $3, $4)")
                .bind(item)
                .bind(sequence)
                .bind(CURRENT)
                .bind(hub)
                .execute(tx.conn())
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        stamp.position.sequence
    }

    /// Appends events of `octets` each, in one transaction.
    pub(crate) async fn append_large(&self, count: usize, octets: usize) {
        let mut tx = self
            .store
            .begin_write(Timestamp::from_micros(2))
            .await
            .unwrap();
        tx.lock(&self.name).await.unwrap();
        for _ in 0..count {
            tx.append(&self.name, |_| vec![0; octets]).unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// What held at an event, read from the table.
    pub(crate) async fn items_at(&self, at: Sequence) -> Items {
        let rows = rows(&self.store, at, "", i64::MAX).await.unwrap();
        rows.into_iter().collect()
    }

    /// Where snapshots come from; `live` counts the streams that run.
    pub(crate) fn pages(&self, live: &Arc<()>, gate: &Gate) -> Pages {
        Pages {
            store: self.store.clone(),
            _live: Arc::clone(live),
            gate: gate.clone(),
        }
    }
}

fn name() -> LogName {
    "csp/north".parse().unwrap()
}

/// Whether a page may be read: closed for a test that wants a snapshot to be under way.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn open() -> Self {
        Self(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }

    /// Lets `pages` pages through.
    pub(crate) fn after(pages: usize) -> Self {
        Self(Arc::new(Semaphore::new(pages)))
    }

    pub(crate) fn let_through(&self, pages: usize) {
        self.0.add_permits(pages);
    }

    /// Whatever waits here panics.
    pub(crate) fn break_it(&self) {
        self.0.close();
    }
}

pub(crate) struct Pages {
    store: Store,
    _live: Arc<()>,
    gate: Gate,
}

#[async_trait]
impl SnapshotPages for Pages {
    type Part = CspSnapshot;

    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<CspSnapshot>, StoreError> {
        self.gate
            .0
            .acquire()
            .await
            .expect("the gate is there")
            .forget();
        let rows = rows(&self.store, at, after.unwrap_or_default(), PAGE).await?;
        let full = i64::try_from(rows.len()).unwrap() == PAGE;
        Ok(SnapshotPage {
            next_key: rows.last().filter(|_| full).map(|(item, _)| item.clone()),
            items: rows.len() as u64,
            part: CspSnapshot {
                devices: rows
                    .into_iter()
                    .map(|(device_id, communications_hub_id)| ReducedDevice {
                        device_id,
                        communications_hub_id,
                        ..ReducedDevice::default()
                    })
                    .collect(),
            },
        })
    }
}

async fn rows(
    store: &Store,
    at: Sequence,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut conn = store.readers().acquire().await?;
    let rows = query_as(
        "SELECT device, hub FROM item \
         WHERE device > $1 AND from_sequence <= $2 AND $2 < to_sequence ORDER BY device LIMIT $3",
    )
    .bind(after)
    .bind(sequence_to_db(at))
    .bind(limit)
    .fetch_all(&mut conn)
    .await?;
    Ok(rows)
}
