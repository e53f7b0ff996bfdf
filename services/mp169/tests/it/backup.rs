//! Copies of the databases of a mesh that goes on writing.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::world::World;

/// Followers first, and before them what is followed by nobody.
const FILES: [&str; 9] = [
    "classification-audit.db",
    "csp-notification-audit.db",
    "flag-registry-audit.db",
    "registration-audit.db",
    "reporting-audit.db",
    "reporting.db",
    "csp-notification.db",
    "flag-registry.db",
    "registration.db",
];
const METERS: [&str; 2] = ["02-DC-C1-00-00-00-01-E0", "02-DC-C1-00-00-00-02-E0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_mesh_is_whole_and_its_copies_fit_each_other() {
    let world = World::with_examples().await;
    world.flag(METERS[0]).await;
    let (printed, ()) = tokio::join!(
        world.ok("mp169 backup --to backup --output json"),
        world.flag(METERS[1])
    );

    let manifest: Value = serde_json::from_str(&printed).unwrap();
    let kept = std::fs::read(world.path().join("backup/manifest.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), manifest);
    let databases = manifest["databases"].as_array().unwrap();
    let files = databases.iter().map(|copy| copy["file"].as_str().unwrap());
    assert_eq!(files.collect::<Vec<_>>(), FILES);
    for copy in databases {
        let file = format!("backup/{}", copy["file"].as_str().unwrap());
        let sha256 = world.ok(&format!("sha256sum {file}")).await;
        assert!(sha256.starts_with(copy["sha256"].as_str().unwrap()));
        for cursor in cursors(&world.path().join(&file)).await {
            let head = head(&manifest, &cursor.log);
            assert!(cursor.sequence <= head, "{file}: {cursor:?}, {head}");
        }
    }
    assert!(head(&manifest, "flags") >= 1);
    world
        .ok("mp169 log verify --database backup/flag-registry.db")
        .await;

    let again = world.run("mp169 backup --to backup").await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("not empty"), "{again:?}");
    let unchanged = std::fs::read(world.path().join("backup/manifest.json")).unwrap();
    assert_eq!(unchanged, kept);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_copied_only_if_asked_for_and_without_them_the_command_says_so() {
    let world = World::start().await;
    let without = world.run("mp169 backup --to backup").await;
    assert_eq!(without.code, Some(0), "{without:?}");
    assert!(without.stderr.contains("authority/"), "{without:?}");
    assert!(!world.path().join("backup/authority").exists());
    let with = world.run("mp169 backup --to with-keys --keys").await;
    assert_eq!(with.code, Some(0), "{with:?}");
    world
        .ok("for kept in authority certificates denied.toml; do \
             diff -r mp169-data/$kept with-keys/$kept || exit 1; done")
        .await;
    let others = world.ok("find with-keys backup -perm /077").await;
    assert!(
        !others.contains(".key.pem") && !others.contains(".db"),
        "{others}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_gives_no_backup() {
    let world = World::with_examples().await;
    world.flag(METERS[0]).await;
    world
        .ok("mp169 backup --to before --database mp169-data/flag-registry.db")
        .await;
    let file = world.path().join("before/flag-registry.db");
    let mut conn = open(&file).await;
    sqlx::query("UPDATE log_event SET event = event || x'00' WHERE sequence = 1")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let ended = world
        .run("mp169 backup --to after --database before/flag-registry.db")
        .await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.stderr.contains("flags at event 1"), "{ended:?}");
    assert!(!world.path().join("after/manifest.json").exists());
    world.stop().await;
}

/// How far a follower was in a log.
#[derive(Debug)]
struct Cursor {
    log: String,
    sequence: u64,
}

async fn cursors(file: &Path) -> Vec<Cursor> {
    let mut conn = open(file).await;
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT log, sequence FROM cursor")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let cursor = |(log, sequence): (_, i64)| Cursor {
        log,
        sequence: sequence.try_into().unwrap(),
    };
    rows.into_iter().map(cursor).collect()
}

async fn open(file: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", file.display());
    SqliteConnection::connect(&url).await.unwrap()
}

/// The last event of a log in the copy of its owner.
fn head(manifest: &Value, log: &str) -> u64 {
    let databases = manifest["databases"].as_array().unwrap().iter();
    let mut logs = databases.flat_map(|copy| copy["logs"].as_array().unwrap());
    let log = logs.find(|found| found["log"] == log).unwrap();
    log["sequence"].as_str().unwrap().parse().unwrap()
}
