//! A flag registry whose disk is lost, an older copy of its database, and an operator's decision.

use std::path::Path;
use std::process::Output;

use mesh_testkit::{TempDir, wait_until};
use mp169::sample::Home;
use serde_json::Value;

use super::world::World;
use super::{FLAGS, flagged, mp169};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_shown_before_it_is_accepted_and_then_everybody_goes_on() {
    let home = older_than_the_csp_knows().await;
    let database = home.path().join("flag-registry.db");
    let before = std::fs::read(&database).unwrap();

    let shown = accept(&database, &["--dry-run", "--output", "json"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let flags: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(flags["log"], "flags");
    assert_eq!(flags["goes_on_after"], FLAGS.to_string());
    assert_eq!(flags["lost"][0]["seen_up_to"], (FLAGS + 1).to_string());
    assert_eq!(flags["lost"][0]["by"], "the witness");
    // By the name of the log, too.
    let by_log = ["log", "accept-loss", "--reason", "a test", "--dry-run"];
    let by_log = |more: &[&str]| {
        let home = home.path().to_str().unwrap();
        mp169(&[&by_log[..], &["--home", home], more].concat())
    };
    let named = by_log(&["--log", "flags", "--output", "json"]);
    let named: Value = serde_json::from_slice(&named.stdout).unwrap();
    for told in ["database", "log", "ended_epoch", "goes_on_after", "lost"] {
        assert_eq!(named[told], flags[told], "{named}");
    }
    let nobodys = by_log(&["--log", "outcomes"]);
    assert_eq!(nobodys.status.code(), Some(2), "{nobodys:?}");
    assert_eq!(by_log(&[]).status.code(), Some(2), "neither is named");
    let unconfirmed = accept(&database, &[]);
    assert_eq!(unconfirmed.status.code(), Some(4), "{unconfirmed:?}");
    assert!(std::fs::read(&database).unwrap() == before);

    let accepted = accept(&database, &["--yes"]);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    let verified = mp169(&["log", "verify", "--database", database.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");

    the_csp_is_corrected(home).await;
}

/// All databases are gone, and only what lay beside them and a backup are left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_disk_a_backup_is_put_in_place_and_what_is_lost_is_said() {
    let home = older_than_the_csp_knows().await;
    let folder = home.path().to_str().unwrap();
    let backup = home.path().join("backup");
    let restore = |more: &[&str]| {
        let args = ["restore", "--reason", "a test", "--from"];
        let backup = backup.to_str().unwrap();
        mp169(&[&args[..], &[backup, "--home", folder], more].concat())
    };
    let occupied = restore(&["--yes"]);
    assert_eq!(occupied.status.code(), Some(9), "{occupied:?}");
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let shown = restore(&["--dry-run", "--output", "json"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let logs = super::json_lines(&shown.stdout).into_iter();
    let mut flags = logs.filter(|line| line["log"] == "flags");
    let flags = flags.next().unwrap();
    assert_eq!(flags["goes_on_after"], FLAGS.to_string());
    assert_eq!(flags["lost"][0]["seen_up_to"], (FLAGS + 1).to_string());
    assert_eq!(restore(&[]).status.code(), Some(4));
    assert!(!home.path().join("flag-registry.db").exists());

    let restored = restore(&["--yes"]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    let world = World::again(home).await;
    the_flag_is_lost(&world).await;
    // Over the change of history, too.
    let verified = world.ends_with(0, &["log", "verify"]).await;
    let verified = String::from_utf8(verified).unwrap();
    assert!(
        verified.contains("flags began a new history after event 3"),
        "{verified}"
    );
    assert!(
        verified.contains("by operator (a test): event 4 is lost"),
        "{verified}"
    );
    world.stop().await;
}

/// The last flag that was set is not set any more.
async fn the_flag_is_lost(world: &World) {
    let meter = Home::new(8).esme().to_string();
    let get = ["flag", "get", "--as", "auditor", &meter];
    let flag = String::from_utf8(world.ends_with(0, &get).await).unwrap();
    assert!(flag.contains("NOT_FLAGGED"), "{flag}");
}

async fn the_csp_is_corrected(home: TempDir) {
    let world = World::again(home).await;
    let everything = [
        "csp",
        "watch",
        "--as",
        "CSP-NORTH",
        "--once",
        "--after",
        "0",
    ];
    wait_until("the CSP to be told that the flag is not set", async || {
        let told = String::from_utf8(world.run(&everything).stdout).unwrap();
        let last = told.lines().last().unwrap_or_default().to_owned();
        let corrected = last.contains("NOT_REDUCED") && last.contains("RESYNC");
        if corrected { Ok(()) } else { Err(told) }
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_refused_says_of_each_service_which_file_is_wrong_and_why() {
    let home = World::start().await.stop().await;
    let file = |name: &str| home.path().join(name);
    std::fs::remove_file(file("registration.db")).unwrap();
    std::fs::write(file("flag-registry.db"), b"").unwrap();
    let up = mp169(&["up", "--port", "0", "--home", home.path().to_str().unwrap()]);
    assert_eq!(up.status.code(), Some(9), "{up:?}");
    let said = String::from_utf8(up.stderr).unwrap();
    for (name, why) in [
        ("registration.db", "is gone"),
        ("flag-registry.db", "is empty"),
    ] {
        let why = format!("{} {why}", file(name).display());
        let lines = said.lines().filter(|line| line.matches(&why).count() == 1);
        assert_eq!(lines.count(), 1, "{why}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_use_is_not_decided_about() {
    let world = World::start().await;
    let refused = accept(&world.home().join("flag-registry.db"), &["--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("stop it first"), "{said}");
    world.stop().await;
}

/// A home in which the registry's database is older by one event than what the CSP was told.
async fn older_than_the_csp_knows() -> TempDir {
    let world = flagged().await;
    let copies = world.home().join("backup");
    let backup = world.run(&["backup", "--to", copies.to_str().unwrap()]);
    assert_eq!(backup.status.code(), Some(0), "{backup:?}");
    let meter = Home::new(8).esme().to_string();
    let add = format!(
        "flag add --as ALBION {meter} --channel online --evidence WEB-8 --contact CRM-8 \
         --step benefits-explained --no-economy-7 --no-radio-teleswitch \
         --no-network-managed-without-wan"
    );
    world
        .ends_with(0, &add.split_whitespace().collect::<Vec<_>>())
        .await;
    let reduced = [
        "csp",
        "watch",
        "--as",
        "CSP-NORTH",
        "--once",
        "--from",
        "snapshot",
    ];
    wait_until("the CSP to be told of the flag", async || {
        let told = String::from_utf8(world.run(&reduced).stdout).unwrap();
        if told.contains(&meter) {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
    let home = world.stop().await;
    let database = home.path().join("flag-registry.db");
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.path().join(format!("flag-registry.db{side}")));
    }
    std::fs::copy(copies.join("flag-registry.db"), database).unwrap();
    home
}

fn accept(database: &Path, more: &[&str]) -> Output {
    let database = database.to_str().unwrap();
    let args = [
        "log",
        "accept-loss",
        "--reason",
        "a test",
        "--database",
        database,
    ];
    mp169(&[&args, more].concat())
}
