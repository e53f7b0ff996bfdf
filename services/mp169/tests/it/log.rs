//! Logs checked by the command and by another language: served, copied, and damaged.

mod accept;
mod followers;
mod state;
mod world;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mesh_testkit::wait_until;
use mp169::sample::Home;
use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use world::World;

/// Events of the log `flags`: two flags are set and one is lifted.
const FLAGS: i64 = 3;

/// The script, if there is a Python to run it. Where it must not be left out
/// `MP169_REQUIRE_PYTHON` says so.
fn script() -> Option<Command> {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        assert!(
            std::env::var_os("MP169_REQUIRE_PYTHON").is_none(),
            "there is no python3"
        );
        println!("left out: there is no python3");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/verify_log.py"
    ));
    Some(command)
}

fn feed(mut command: Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// What the script says of an export: its exit code, and a line for each log.
fn scripted(export: &[u8]) -> Option<(Option<i32>, Vec<String>)> {
    let output = feed(script()?, export);
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "");
    Some((
        output.status.code(),
        said.lines().map(str::to_owned).collect(),
    ))
}

fn json_lines(text: &[u8]) -> Vec<Value> {
    let lines = text
        .split(|octet| *octet == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// What the script would say of what `log verify` found.
fn as_the_script_says(findings: &[u8]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let says = |log: Value| match log.get("misfit") {
        Some(misfit) => format!(
            "{} does not fit at {}",
            text(&log["log"]),
            text(&misfit["sequence"])
        ),
        None => format!(
            "{} {} {}",
            text(&log["log"]),
            text(&log["fit"]),
            text(&log["hash"])
        ),
    };
    // Other lines are about followers and states.
    let lines = json_lines(findings).into_iter();
    let logs = lines.filter(|line| line.get("fit").is_some());
    logs.map(says).collect()
}

fn mp169(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mp169"))
        .args(args)
        .output()
        .unwrap()
}

async fn flagged() -> World {
    let world = World::start().await;
    let (esme, gsme) = (
        Home::new(8).esme().to_string(),
        Home::new(8).gsme().to_string(),
    );
    for device in [&esme, &gsme] {
        let add = format!(
            "flag add --as ALBION {device} --channel telephone --evidence CALL-7 --contact CRM-7 \
             --step benefits-explained --no-economy-7 --no-radio-teleswitch \
             --no-network-managed-without-wan"
        );
        world
            .ends_with(0, &add.split_whitespace().collect::<Vec<_>>())
            .await;
    }
    let remove = format!("flag remove --as ALBION {esme} --channel online --evidence WEB-7");
    world
        .ends_with(0, &remove.split_whitespace().collect::<Vec<_>>())
        .await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_that_are_served_are_whole_for_the_command_and_for_another_language() {
    let world = flagged().await;
    // Once all of them serve.
    let verify = ["log", "verify", "--output", "json"];
    let verified = world.ends_with(0, &verify).await;
    let says = as_the_script_says(&verified);
    assert_eq!(says.len(), 3, "{says:?}");
    assert!(says[2].starts_with(&format!("flags {FLAGS} ")), "{says:?}");
    let export = world.run(&["log", "export"]);
    if let Some(scripted) = scripted(&export.stdout) {
        assert_eq!(scripted, (Some(0), says));
    }
    let causes = json_lines(&export.stdout).into_iter().rev().take(3);
    let causes = causes
        .map(|line| line["decoded"]["cause"].clone())
        .collect::<Vec<_>>();
    assert_eq!(
        causes,
        ["CAUSE_FLAG_REMOVED", "CAUSE_FLAG_ADDED", "CAUSE_FLAG_ADDED"]
    );

    let part = [
        "log", "export", "--log", "flags", "--after", "1", "--until", "2",
    ];
    let part = json_lines(&world.run(&part).stdout);
    assert_eq!(part.len(), 1);
    assert_eq!(part[0]["sequence"], "2");

    // The CSP of the home has its own log and sees no other.
    let own = ["log", "verify", "--as", "CSP-NORTH", "--log", "csp/north"];
    world.ends_with(0, &own).await;
    let other = world.run(&["log", "verify", "--as", "CSP-NORTH", "--log", "flags"]);
    assert_eq!(other.status.code(), Some(3), "{other:?}");
    let in_use = world.home().join("flag-registry.db");
    let in_use = world.run(&["log", "verify", "--database", in_use.to_str().unwrap()]);
    assert_eq!(in_use.status.code(), Some(1), "{in_use:?}");

    // What was served stands in the files.
    let home = world.stop().await;
    let mut offline = Vec::new();
    for database in ["registration.db", "flag-registry.db"] {
        let file = format!("sqlite://{}", home.path().join(database).display());
        offline.extend(mp169(&["log", "export", "--database", &file]).stdout);
        let verified = mp169(&["log", "verify", "--database", &file]);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    }
    let sorted = |text: &[u8]| {
        let mut lines: Vec<_> = text
            .split(|octet| *octet == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort();
        lines
    };
    assert!(sorted(&offline) == sorted(&export.stdout));
}

/// Flips a bit in the middle of a value of the log `flags` in the file.
async fn flip(file: &Path, column: &str, sequence: i64) {
    flip_in("flags", file, column, sequence).await;
}

/// The same in another log.
async fn flip_in(log: &str, file: &Path, column: &str, sequence: i64) {
    let url = format!("sqlite://{}", file.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    let row = format!("log = '{log}' AND sequence = {sequence}");
    let read = format!("SELECT {column} FROM log_event WHERE {row}");
    let read = sqlx::query(sqlx::AssertSqlSafe(read));
    let value = read.fetch_one(&mut conn).await.unwrap();
    let write = format!("UPDATE log_event SET {column} = $1 WHERE {row}");
    let write = sqlx::query(sqlx::AssertSqlSafe(write));
    let write = if let Ok(number) = value.try_get::<i64, _>(0) {
        write.bind(number ^ 1 << 31)
    } else {
        let mut octets: Vec<u8> = value.get(0);
        let middle = octets.len() / 2;
        octets[middle] ^= 1;
        write.bind(octets)
    };
    write.execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_in_a_copy_is_found_by_the_command_and_by_another_language() {
    let home = flagged().await.stop().await;
    let whole = home.path().join("flag-registry.db");
    let copy = home.path().join("copy.db");
    let database = copy.to_str().unwrap();
    for sequence in 1..=FLAGS {
        for column in [
            "sequence",
            "recorded_time",
            "previous_hash",
            "hash",
            "event",
        ] {
            std::fs::copy(&whole, &copy).unwrap();
            flip(&copy, column, sequence).await;
            let verified = mp169(&["log", "verify", "--output", "json", "--database", database]);
            assert_eq!(verified.status.code(), Some(7), "{column}: {verified:?}");
            let says = as_the_script_says(&verified.stdout);
            assert_eq!(
                says,
                [format!("flags does not fit at {sequence}")],
                "{column}"
            );
            let export = mp169(&["log", "export", "--database", database]);
            if let Some(scripted) = scripted(&export.stdout) {
                assert_eq!(scripted, (Some(1), says), "{column}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_serves_what_was_changed_is_found_out() {
    let world = flagged().await;
    // Behind the back of the running service: a start would refuse it.
    flip(&world.home().join("flag-registry.db"), "event", 2).await;
    let verify = ["log", "verify", "--log", "flags", "--output", "json"];
    let found = world.ends_with(7, &verify).await;
    assert_eq!(as_the_script_says(&found), ["flags does not fit at 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_shows_in_the_exit_code_though_nobody_reads_the_answer() {
    let home = flagged().await.stop().await;
    let database = home.path().join("flag-registry.db");
    flip(&database, "event", 2).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut verify = Command::new(env!("CARGO_BIN_EXE_mp169"));
    verify.args(["log", "verify", "--database"]).arg(database);
    let ended = verify.stdout(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
}

#[test]
fn a_file_that_cannot_be_checked_is_refused_with_what_to_do() {
    let folder = mesh_testkit::temp_dir();
    let letter = folder.path().join("letter.db");
    std::fs::write(&letter, "no database").unwrap();
    let missing = folder.path().join("missing.db");
    for (file, advice) in [(&letter, "take the copy again"), (&missing, "No such file")] {
        let refused = mp169(&["log", "verify", "--database", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(advice), "{said}");
    }
    assert!(!missing.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_is_listed_checked_and_exported_by_auditors_alone() {
    let world = flagged().await;
    let esme = Home::new(8).esme().to_string();
    let list = [
        "audit",
        "list",
        "--service",
        "flag-registry",
        "--output",
        "json",
    ];
    let about = [&list[..], &["--device", &esme]].concat();
    // Records of changes are on disk a moment after the answer.
    let records = wait_until("both changes are on record", async || {
        let records = json_lines(&world.run(&about).stdout);
        let calls = records.iter().map(|listed| &listed["record"]["call"]);
        let ok = calls.filter(|call| call["code"].is_null() && call["position"].is_object());
        match ok.count() {
            2 => Ok(records),
            _ => Err(format!("{records:?}")),
        }
    })
    .await;
    for listed in &records {
        let call = &listed["record"]["call"];
        assert!(!listed.to_string().contains(&esme), "{listed}");
        if call["position"].is_object() {
            assert_eq!(call["caller"]["partyId"], "ALBION", "{listed}");
        }
    }
    // Newest first.
    let rpcs = records.iter().filter_map(|listed| {
        let call = &listed["record"]["call"];
        call["position"]
            .is_object()
            .then(|| call["rpc"].as_str().unwrap().to_owned())
    });
    let service = "mp169.flag_registry.v1.FlagService";
    let expected = ["RemoveFlag", "AddFlag"].map(|rpc| format!("{service}/{rpc}"));
    assert_eq!(rpcs.collect::<Vec<_>>(), expected);

    // The auditor's own reads are there too, and nobody else's are served.
    let own = [
        &list[..],
        &["--caller", "auditor", "--rpc", "ListAuditRecords"],
    ]
    .concat();
    assert!(!json_lines(&world.run(&own).stdout).is_empty());
    let operator = world.run(&[&list[..], &["--as", "operator"]].concat());
    assert_eq!(operator.status.code(), Some(3), "{operator:?}");
    let refused = [&list[..], &["--refused", "--caller", "operator"]].concat();
    world.ends_with(0, &refused).await;
    for answer in ["PERMISSION_DENIED", "ROLE_NOT_PERMITTED"] {
        let so = [&list[..], &["--answer", answer]].concat();
        let records = wait_until("the refusal is on record", async || {
            match json_lines(&world.run(&so).stdout) {
                none if none.is_empty() => Err("nothing is"),
                records => Ok(records),
            }
        })
        .await;
        for listed in records {
            let call = &listed["record"]["call"];
            assert_eq!(call["caller"]["internalRole"], "operator", "{listed}");
        }
    }
    let misspelt = [&list[..], &["--answer", "REFUSED"]].concat();
    assert_ne!(world.run(&misspelt).status.code(), Some(0));

    let verified = world.run(&["audit", "verify", "--output", "json"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert_eq!(json_lines(&verified.stdout).len(), 5);
    let export = world.run(&[
        "audit",
        "export",
        "--service",
        "flag-registry",
        "--until",
        "3",
    ]);
    let lines = json_lines(&export.stdout);
    assert_eq!(lines.len(), 3);
    assert!(lines[0]["decoded"]["records"].is_array(), "{lines:?}");
    if let Some((code, says)) = scripted(&export.stdout) {
        assert_eq!(code, Some(0), "{says:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_the_audit_that_was_changed_is_found() {
    let home = flagged().await.stop().await;
    let database = home.path().join("flag-registry-audit.db");
    let verify = ["audit", "verify", "--output", "json", "--database"];
    let verify = [&verify[..], &[database.to_str().unwrap()]].concat();
    let verified = mp169(&verify);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    flip_in("audit/flag-registry", &database, "event", 2).await;
    let verified = mp169(&verify);
    assert_eq!(verified.status.code(), Some(7), "{verified:?}");
    let says = as_the_script_says(&verified.stdout);
    assert_eq!(says, ["audit/flag-registry does not fit at 2"]);
}
