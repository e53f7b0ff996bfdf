//! Is every message decided, whatever else is among the files?

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use classification::codes::MessageCode;
use classification::samples;
use mesh_types::{DeviceId, Eui64};

use crate::world::World;

const SUPPLIER: Eui64 = Eui64::from_u64(0x9C54_CA00_0000_0001);

fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

fn firmware(image: usize, devices: &[DeviceId]) -> String {
    samples::duis_firmware(SUPPLIER, &vec![0xA5; image], "", devices, 7)
}

/// Verdict, or why there is none, by file; from the lines of JSON.
fn verdicts(stdout: &str) -> String {
    let mut verdicts = String::new();
    for line in stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let (file, result) = (line["file"].as_str().unwrap(), &line["result"]);
        let verdict = match result.get("decision") {
            Some(decision) => decision["verdict"].as_str().unwrap(),
            None => result["status"]["message"].as_str().unwrap(),
        };
        writeln!(verdicts, "{file}: {verdict}").unwrap();
    }
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_file_hides_no_verdict() {
    let world = World::start().await;
    let write = |name: &str, content: &[u8]| {
        std::fs::write(world.path().join(name), content).unwrap();
    };
    // Twelve of 400 KB are more than an ordinary request takes.
    let images = firmware(300 << 10, &[device(1), device(2)]);
    for number in 10..22 {
        write(&format!("{number}-firmware.xml"), images.as_bytes());
    }
    let response = samples::gbcs_response(MessageCode(0x0027), device(1), SUPPLIER, 9).octets();
    write("30-binary", &response);
    write("31-digits", hex::encode(&response).as_bytes());
    write("32-base64", STANDARD.encode(&response).as_bytes());
    write("33-letter", b"read the meter, please");
    write("34-cut", &response[..40]);
    write("35-larger-than-any.xml", " ".repeat(64 << 20).as_bytes());
    let devices: Vec<DeviceId> = (1..=50_000).map(device).collect();
    write("36-largest.xml", firmware(10_240_000, &devices).as_bytes());
    write("37-last.xml", images.as_bytes());

    let ended = world
        .run("mp169 classify --output json [0-9]* nowhere - < 32-base64")
        .await;
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let said = "4 of 22 messages could not be decided";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    mesh_testkit::assert_golden("golden/classify.txt", &verdicts(&ended.stdout));

    let ended = world
        .run("mp169 classify 1?-firmware.xml 2?-firmware.xml")
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let table = world.ok("mp169 classify 36-largest.xml").await;
    assert!(table.contains("and 49997 more"), "{table}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_leaves_the_files_named() {
    let world = World::start().await;
    let line = "mp169 classify --output json examples/messages/top-up.xml";
    let ended = world.run(&format!("{line} --as analyst")).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.contains("ROLE_NOT_PERMITTED"), "{ended:?}");
    let ended = world.run_after_the_end(line).await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.stdout.contains("top-up.xml"), "{ended:?}");
    assert!(ended.stderr.contains("mp169 doctor"), "{ended:?}");
}
