//! Where each service stands with each log that it follows, held against what the owner has.

use std::path::Path;

use mesh_testkit::{TempDir, temp_dir, wait_until};
use mp169::sample::Home;

use super::world::World;
use super::{FLAGS, flagged, json_lines};

const VERIFY: [&str; 4] = ["log", "verify", "--output", "json"];

/// The database of flag-registry, and what lies beside it.
const FILES: [&str; 4] = [
    "flag-registry.db",
    "flag-registry.db-wal",
    "flag-registry.db-shm",
    "flag-registry.db.witness",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_a_log_stands_on_what_its_owner_has() {
    let world = flagged().await;
    all_stand_on(&world, FLAGS).await;
    let verified = world.ends_with(0, &["log", "verify"]).await;
    let verified = String::from_utf8(verified).unwrap();
    assert_eq!(verified.matches(" fits").count(), 9, "{verified}");
    // Who asks for one log alone may not be one who may ask services how they are.
    let one = world.run(&["log", "verify", "--log", "flags", "--output", "json"]);
    assert_eq!(json_lines(&one.stdout).len(), 1, "{one:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_has_an_event_which_its_owner_has_not_is_told() {
    let home = flagged().await.stop().await;
    let older = temp_dir();
    copy(home.path(), older.path());
    let world = World::again(home).await;
    let meter = Home::new(8).esme().to_string();
    let add = format!(
        "flag add --as ALBION {meter} --channel online --evidence WEB-8 --contact CRM-8 \
         --step benefits-explained --no-economy-7 --no-radio-teleswitch \
         --no-network-managed-without-wan"
    );
    let add: Vec<_> = add.split_whitespace().collect();
    world.ends_with(0, &add).await;
    all_stand_on(&world, FLAGS + 1).await;

    let home = world.stop().await;
    put_back(&older, home.path());
    let world = World::again(home).await;
    let found = world.ends_with(7, &VERIFY).await;
    let lines = json_lines(&found);
    let of_reporting = lines
        .iter()
        .find(|line| line["follower"] == "reporting" && line["status"]["log"] == "flags");
    let of_reporting = of_reporting.unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(of_reporting["finding"], "the owner has no such event");
    assert_eq!(of_reporting["fits"], false);
    world.stop().await;
}

/// Waits until everybody who keeps the flags has this event of them.
async fn all_stand_on(world: &World, event: i64) {
    let event = event.to_string();
    wait_until("the flags to be followed", async || {
        let lines = json_lines(&world.run(&VERIFY).stdout);
        let stand = lines.iter().filter(|line| {
            line["status"]["log"] == "flags"
                && line["status"]["position"]["sequence"] == *event
                && line["finding"] == "fits"
        });
        match stand.count() {
            3 => Ok(()),
            _ => Err(format!("{lines:?}")),
        }
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    for file in FILES {
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

fn put_back(older: &TempDir, home: &Path) {
    for file in FILES {
        let _ = std::fs::remove_file(home.join(file));
    }
    copy(older.path(), home);
}
