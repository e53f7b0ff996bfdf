//! Can a script rely on how a command ends?

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use crate::world::World;

const METER: &str = "02-DC-C1-00-00-00-01-E0";

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_the_code_that_the_help_lists_and_says_what_to_do() {
    let world = World::with_examples().await;
    let add = "mp169 flag add --channel online --evidence E-1";
    for (line, code, said) in [
        ("mp169 party list", 0, ""),
        ("mp169 party list > /dev/full", 1, "cannot write"),
        ("mp169 party list --home nowhere", 1, "mp169 up"),
        ("mp169 device load nowhere.csv", 1, "nowhere.csv"),
        ("mp169 party list --as NOBODY", 1, "there are: ALBION"),
        ("mp169 party list --limit 0", 2, "--limit"),
        ("mp169 certificate revoke flag-registry", 2, "--yes"),
        ("mp169 certificate revoke --identity operator", 2, "--yes"),
        ("mp169 certificate revoke --serial 0x12", 2, "hexadecimal"),
        ("mp169 certificate revoke", 2, "--identity"),
        ("mp169 certificate revoke NOBODY", 1, "ALBION"),
        (
            "mp169 certificate revoke --file mp169-data/authority/ca.crt.pem --yes",
            1,
            "trusted",
        ),
        ("mp169 certificate issue king", 2, "auditor"),
        ("mp169 flag get 02-DC", 2, "eight octets"),
        (&format!("{add} {METER}"), 2, "--as"),
        ("mp169 device put 02-DC-C1-00-00-00-09-C0", 2, "--type"),
        (
            &format!("mp169 flag get --as EAGLE {METER}"),
            3,
            "mp169 authority get",
        ),
        ("mp169 party list --as dsp", 3, "--as"),
        ("mp169 party get ALBION --as ALBION", 3, "mp169 party add"),
        (&format!("{add} --as DRAGON {METER}"), 4, "--contact"),
        ("mp169 csp lag --as DRAGON", 2, "no CSP"),
        ("mp169 csp watch --as operator", 2, "no CSP"),
        ("mp169 csp ack 7 --as CSP-CENTRAL", 4, "mp169 csp lag"),
        ("mp169 party get NOBODY", 5, "NOT_FOUND"),
        (
            "mp169 party add EAGLE --name Eagle --role gas-supplier",
            5,
            "already",
        ),
        ("mp169 report performance november", 5, "month"),
    ] {
        let ended = world.run(line).await;
        assert_eq!(ended.code, Some(code), "{line}\n{ended:?}");
        assert!(ended.stderr.contains(said), "{line}\n{ended:?}");
    }
    let add = format!(
        "{add} --as DRAGON {METER} --step benefits-explained --contact C-1 \
         --no-economy-7 --no-radio-teleswitch --no-network-managed-without-wan"
    );
    // Set once, and then said again for as long as the Device's quota lasts.
    for _ in 0..=20 {
        world.ok(&add).await;
    }
    let ended = world.run(&add).await;
    assert_eq!(ended.code, Some(8), "{ended:?}");
    for said in [
        "QUOTA_EXHAUSTED",
        "20 preferences of one Device",
        "room again in 2",
    ] {
        assert!(ended.stderr.contains(said), "{said}\n{ended:?}");
    }
    let ended = world.run_after_the_end("mp169 flag list").await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.stderr.contains("mp169 doctor"), "{ended:?}");
}

/// As `| head` does when it has seen enough.
#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_mp169"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}

#[test]
fn rows_that_are_not_loaded_are_a_failure_though_nobody_reads_which() {
    let folder = mesh_testkit::temp_dir();
    let file = folder.path().join("devices.csv");
    std::fs::write(&file, "device_id,type\nE0,TOASTER\n").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_mp169"))
        .args(["device", "load"])
        .arg(file)
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
}

/// A name need not be UTF-8 where files are; JSON must be.
#[test]
fn a_file_of_any_name_is_told_in_json() {
    let folder = mesh_testkit::temp_dir();
    let file = folder.path().join(OsStr::from_bytes(b"h\xF6fe.csv"));
    std::fs::write(&file, "device_id,type\nE0,TOASTER\n").unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_mp169"))
        .args(["device", "load", "--output", "json"])
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("fe.csv"), "{told}");
}
