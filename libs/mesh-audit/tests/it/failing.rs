//! A database that cannot be written to: nothing is lost, and nothing that has to be on record goes on.

use std::path::Path;

use mesh_api::audit::v1::ServiceChange;
use mesh_audit::Settings;
use mesh_rpc::audit::{Answer, NotOnRecord};
use mesh_testkit::wait_until;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::world::{ADD, World, calls, changes, counted, entry, patient};

/// Has SQLite refuse every event, or take them again.
async fn execute(path: &Path, sql: &'static str) {
    let mut conn = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    sqlx::query(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

const BREAK: &str = "CREATE TRIGGER full BEFORE INSERT ON log_event \
     BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
const MEND: &str = "DROP TRIGGER full";

#[tokio::test]
async fn while_nothing_can_be_written_calls_are_refused_and_afterwards_nothing_is_missing() {
    let world = World::start(patient()).await;
    let first = world.journal.enter(entry(ADD));
    world.journal.on_disk(first).await.unwrap();
    execute(&world.path(), BREAK).await;

    assert!(world.journal.admit().is_none(), "nobody knows it yet");
    let under_way = world.journal.enter(entry(ADD));
    assert_eq!(world.journal.on_disk(under_way).await, Err(NotOnRecord));
    assert!(!world.audit.is_writing());
    assert_eq!(world.journal.admit().unwrap().await, Err(NotOnRecord));
    // Calls that were under way, and those that are counted.
    world.journal.enter(entry(ADD));
    world.journal.count(counted(ADD, Answer::OK), 5, 0);

    execute(&world.path(), MEND).await;
    wait_until("it is written again", async || {
        if world.audit.is_writing() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert!(world.journal.admit().is_none());
    let last = world.journal.enter(entry(ADD));
    world.journal.on_disk(last).await.unwrap();
    let records = world.stop().await;
    assert_eq!(calls(&records).len(), 4, "each once");
    let [started, resumed, stopped] = changes(&records)[..] else {
        panic!("{records:?}");
    };
    assert_eq!(started, ServiceChange::Started);
    assert_eq!(resumed, ServiceChange::RecordingResumed);
    assert_eq!(stopped, ServiceChange::Stopped);
}

#[tokio::test]
async fn calls_wait_for_room_and_begin_when_there_is_some() {
    let settings = Settings {
        most_waiting: 10,
        ..patient()
    };
    let world = World::start(settings).await;
    while world.journal.admit().is_none() {
        world.journal.enter(entry(ADD));
    }
    let waits = world.journal.admit().unwrap();
    let waits = tokio::spawn(waits);
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    let last = world.journal.enter(entry(ADD));
    world.journal.on_disk(last).await.unwrap();
    assert_eq!(waits.await.unwrap(), Ok(()));
}
