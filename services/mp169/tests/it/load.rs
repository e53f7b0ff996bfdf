//! Does a load say which rows were refused, and can it be given again?

use std::fs;

use serde_json::Value;

use crate::world::World;

const HEADER: &str = "device_id,type,smi_status,smi_status_time,communications_hub_id,csp_id";

fn write(world: &World, name: &str, rows: &[&str]) {
    let text = format!("{HEADER}\n{}\n", rows.join("\n"));
    fs::write(world.path().join(name), text).unwrap();
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_by_its_line_and_keeps_nothing_else_out() {
    let world = World::start().await;
    let hub = "02-DC-C1-00-00-00-09-C0,CHF,COMMISSIONED,2025-03-01,,central";
    let lost = "02-DC-C1-00-00-00-09-AF,GPF,COMMISSIONED,2025-03-01,02-DC-C1-00-00-00-77-C0,";
    let ppmid = "02-DC-C1-00-00-00-09-BB,PPMID,COMMISSIONED,2025-03-01,02-DC-C1-00-00-00-09-C0,";
    // The hub comes last, and is loaded first.
    write(&world, "devices.csv", &[lost, ppmid, hub]);
    let line = "mp169 device load devices.csv --output json";
    let first = world.run(line).await;
    assert_eq!(first.code, Some(5), "{first:?}");
    assert!(
        first.stderr.contains("1 of 3 rows were refused"),
        "{first:?}"
    );
    let told = lines(&first.stdout);
    let [refusal, sums] = told.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!(
        (&refusal["file"], &refusal["line"]),
        (&"devices.csv".into(), &2.into())
    );
    assert_eq!(
        refusal["status"]["reason"],
        "ERROR_REASON_CONTRADICTS_RECORD"
    );
    assert_eq!(
        (&sums["recorded"], &sums["refused"]),
        (&2.into(), &1.into())
    );

    // Put right and given again.
    write(&world, "devices.csv", &[ppmid, hub]);
    let again = world.ok("mp169 device load devices.csv").await;
    assert_eq!(again, "0 recorded, 2 unchanged, 0 refused\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_understood_changes_nothing() {
    let world = World::start().await;
    let hub = "02-DC-C1-00-00-00-09-C0,CHF,COMMISSIONED,2025-03-01,,central";
    write(
        &world,
        "devices.csv",
        &[hub, "02-DC-C1-00-00-00-09-AF,TOASTER,,,,"],
    );
    let ended = world.run("mp169 device load devices.csv").await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.stdout.contains("devices.csv:3"), "{ended:?}");
    assert!(ended.stderr.contains("nothing was loaded"), "{ended:?}");
    assert!(world.ok("mp169 device list").await.contains("No Device"));
    world.stop().await;
}
