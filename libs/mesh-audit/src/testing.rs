//! What is on disk of a record? For tests only; everything here panics where a
//! test should fail.

use std::path::Path;

use futures::TryStreamExt as _;
use mesh_api::audit::v1 as wire;
use mesh_api::audit::v1::audit_record::Record;
use mesh_api::common::v1::EventStamp;
use mesh_api::convert::timestamp_from_wire;
use mesh_store::Location;
use mesh_store::offline::Offline;
use mesh_store::verify::Stamp;
use mesh_types::DeviceId;
use prost::Message as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::pseudonym::Pseudonyms;

/// What an audit database holds.
#[derive(Debug)]
pub struct OnDisk {
    /// The records, in order.
    pub records: Vec<Record>,
    pseudonyms: Pseudonyms,
}

impl OnDisk {
    /// Copies the file at `path` into `folder`, as it is on disk now while its service may run, and reads the
    /// copy, whose log must be whole.
    pub async fn copy(path: &Path, folder: &Path) -> Self {
        let copy = folder.join("audit.db");
        for ending in ["-wal", ""] {
            let beside = |path: &Path| format!("{}{ending}", path.display());
            if Path::new(&beside(path)).exists() {
                std::fs::copy(beside(path), beside(&copy)).expect("a copy");
            }
        }
        Self::at(&Location::from(&copy)).await
    }

    /// Reads a database, whose log must be whole. Nobody may have it open if it is a file.
    pub async fn at(database: &Location) -> Self {
        let mut database = Offline::open(database).await.expect("a database");
        let verified = database.verify(read_stamp, || ()).await.expect("a log");
        for log in &verified {
            assert!(log.found.is_ok(), "{log:?}");
        }
        let events: Vec<_> = database.events().try_collect().await.expect("events");
        let events = events.iter().map(|stored| {
            wire::AuditEvent::decode(stored.event.as_slice()).expect("an event of the audit")
        });
        let records = events.flat_map(|event| event.records);
        let records = records.filter_map(|record| record.record).collect();
        let pseudonyms = Pseudonyms::read(database.conn()).await.expect("a secret");
        Self {
            records,
            pseudonyms,
        }
    }

    /// The records of calls of an RPC, by its name without its service.
    #[must_use]
    pub fn calls(&self, method: &str) -> Vec<&wire::CallRecord> {
        let calls = self.records.iter().filter_map(|record| match record {
            Record::Call(call) => Some(call),
            Record::Count(_) | Record::Service(_) => None,
        });
        let method = format!("/{method}");
        calls.filter(|call| call.rpc.ends_with(&method)).collect()
    }

    /// The counts, in order.
    #[must_use]
    pub fn counts(&self) -> Vec<&wire::CallCount> {
        let counts = self.records.iter().filter_map(|record| match record {
            Record::Count(count) => Some(count),
            Record::Call(_) | Record::Service(_) => None,
        });
        counts.collect()
    }

    /// What happened to the service, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<wire::ServiceChange> {
        let changes = self.records.iter().filter_map(|record| match record {
            Record::Service(service) => Some(service.change()),
            Record::Call(_) | Record::Count(_) => None,
        });
        changes.collect()
    }

    /// The pseudonym of a Device in this database.
    #[must_use]
    pub fn pseudonym(&self, device: DeviceId) -> Vec<u8> {
        self.pseudonyms.of(device)
    }
}

/// Has SQLite refuse every event of the database at `path`, as if the disk were full.
pub async fn refuse_events(path: &Path) {
    refuse_events_with(path, "").await;
}

/// The same of those alone that this stands in.
pub async fn refuse_events_with(path: &Path, part: &'static str) {
    let trigger = format!(
        "CREATE TRIGGER full BEFORE INSERT ON log_event \
         WHEN instr(NEW.event, CAST('{part}' AS BLOB)) > 0 \
         BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    );
    execute(path, trigger).await;
}

/// Has it take them again.
pub async fn take_events(path: &Path) {
    execute(path, "DROP TRIGGER full".to_owned()).await;
}

async fn execute(path: &Path, sql: String) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut conn = options.connect().await.expect("a connection");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&mut conn)
        .await
        .expect("a statement");
    conn.close().await.expect("an end");
}

fn read_stamp(event: &[u8]) -> Option<Stamp> {
    let stamp = EventStamp::decode(event).ok()?;
    Some(Stamp {
        sequence: stamp.sequence,
        recorded_time: timestamp_from_wire(&stamp.recorded_time?).ok()?,
    })
}
