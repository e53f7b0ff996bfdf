//! Does a clerk need anything but the folder that `party certificate` wrote?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mesh_testkit::wait_until;

use crate::world::World;

/// The electricity meter of the first home of the examples, and its MPAN.
const METER: &str = "02-DC-C1-00-00-00-01-E0";
const MPAN: &str = "1300000000016";

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_folder_holds_its_own_key_and_nobody_elses() {
    let world = World::with_examples().await;
    world.ok("mp169 party certificate EAGLE --out eagle").await;
    let folder = world.path().join("eagle");
    let expected = [
        "EAGLE.crt.pem",
        "EAGLE.key.pem",
        "addresses.json",
        "ca.crt.pem",
    ];
    assert_eq!(files(&folder), expected);
    let key = fs::metadata(folder.join("certificates/EAGLE.key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let shown = world
        .ok("mp169 party get EAGLE --home eagle --output json")
        .await;
    assert!(shown.contains("PARTY_STATUS_ACTIVE"), "{shown}");
    // It is no authority, and no operator.
    let ended = world
        .run("mp169 party certificate EAGLE --home eagle")
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("authority's key"), "{ended:?}");
    let line = "mp169 certificate revoke EAGLE --home eagle";
    let ended = world.run(line).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("a client's folder"), "{ended:?}");
    let ended = world.run("mp169 party list --home eagle").await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_folder_is_not_overwritten_by_another_mesh() {
    let world = World::with_examples().await;
    fs::create_dir_all(world.path().join("taken/authority")).unwrap();
    fs::write(world.path().join("taken/authority/ca.crt.pem"), "another").unwrap();
    let ended = world.run("mp169 party certificate EAGLE --out taken").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("another mesh"), "{ended:?}");
    assert_eq!(files(&world.path().join("taken")), ["ca.crt.pem"]);
    let line = "mp169 party certificate EAGLE --out far --host mesh.example";
    let ended = world.run(line).await;
    // Nobody is reached there, but the folder says where to look.
    assert_eq!(ended.code, Some(6), "{ended:?}");
    let addresses = fs::read_to_string(world.path().join("far/addresses.json")).unwrap();
    assert_eq!(addresses.matches("mesh.example:").count(), 5, "{addresses}");
    world.stop().await;
}

/// The gaining supplier's clerk, who sees the flag and not the evidence of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_goes_from_one_suppliers_clerk_to_the_others() {
    let world = World::with_examples().await;
    world.ok("mp169 party certificate EAGLE --out eagle").await;
    world.flag(METER).await;
    world
        .ok(&format!("mp169 device change-supplier {MPAN} EAGLE"))
        .await;
    let ended = world
        .run(&format!("mp169 flag get --as DRAGON {METER}"))
        .await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let line = format!("mp169 flag remove --home eagle {METER} --channel online --evidence WEB-10");
    let removed = world.ok(&line).await;
    assert!(
        removed.contains("NOT_FLAGGED") && removed.contains("changed"),
        "{removed}"
    );

    let history = async |who: &str| world.ok(&format!("mp169 flag history {who} {METER}")).await;
    let seen = wait_until("the change of supplier in the history", async || {
        let seen = history("--home eagle").await;
        if seen.contains("SUPPLIER_CHANGED") {
            Ok(seen)
        } else {
            Err(seen)
        }
    })
    .await;
    assert!(seen.contains("WEB-10") && !seen.contains("E-1"), "{seen}");
    let all = history("--as auditor").await;
    assert!(all.contains("WEB-10") && all.contains("E-1"), "{all}");
    world.stop().await;
}
