//! Can what others wrote steer the terminal of whoever reads it, or look like something else?

use std::fs;
use std::path::Path;

use mesh_api::flag_registry::v1::FlagEvent;
use mesh_api::registration::v1::{Party, PartyEvent};
use mesh_types::text::{is_visible, shown};
use prost::Message;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::world::{Ended, World};

/// Clears a screen, goes back to the start of a line, begins another, and turns text around.
const HOSTILE: &str = "Evil\u{1B}[2J\r\nDRAGON\u{9B}2J\u{202E}\u{200B}\u{85}\u{E0041}";

/// Puts text into a record as it could be recorded before text was checked.
async fn edit<M: Message + Default>(
    database: &Path,
    (table, column, which): (&str, &str, &str),
    change: impl Fn(&mut M),
) {
    let url = format!("sqlite://{}", database.display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let read = format!("SELECT {column} FROM {table} WHERE {which}");
    let read = sqlx::query_scalar(sqlx::AssertSqlSafe(read));
    let octets: Vec<u8> = read.fetch_one(&mut database).await.unwrap();
    let mut message = M::decode(octets.as_slice()).unwrap();
    change(&mut message);
    let write = format!("UPDATE {table} SET {column} = $1 WHERE {which}");
    let write = sqlx::query(sqlx::AssertSqlSafe(write)).bind(message.encode_to_vec());
    assert_eq!(
        write.execute(&mut database).await.unwrap().rows_affected(),
        1
    );
    database.close().await.unwrap();
}

/// A mesh with old records: a party's name, a reason, a reference and an MPAN that nobody could give
/// today.
async fn hostile_world() -> World {
    let world = World::with_examples().await;
    world.flag("02-DC-C1-00-00-00-01-E0").await;
    world
        .ok("mp169 party suspend EAGLE --reason reason && mp169 party resume EAGLE --reason back")
        .await;
    let registration = world.path().join("mp169-data/registration.db");
    let eagle = "party_id = 'EAGLE' ORDER BY from_sequence DESC LIMIT 1";
    let eagle = format!("rowid = (SELECT rowid FROM party WHERE {eagle})");
    edit(
        &registration,
        ("party", "record", &eagle),
        |party: &mut Party| {
            party.name = HOSTILE.to_owned();
        },
    )
    .await;
    let suspended = "log = 'parties' AND sequence = 4";
    edit(
        &registration,
        ("log_event", "event", suspended),
        |event: &mut PartyEvent| {
            assert_eq!(event.reason, "reason");
            event.reason = HOSTILE.to_owned();
        },
    )
    .await;
    let url = format!("sqlite://{}", registration.display());
    let mut inventory = SqliteConnection::connect(&url).await.unwrap();
    let zeros = "UPDATE device SET import_mpan = '0000000000000' \
                 WHERE device_id = '02-DC-C1-00-00-00-03-E0'";
    let zeros = sqlx::query(zeros).execute(&mut inventory).await.unwrap();
    assert_eq!(zeros.rows_affected(), 1);
    inventory.close().await.unwrap();
    let flags = world.path().join("mp169-data/flag-registry.db");
    let first = "log = 'flags' AND sequence = 1";
    edit(
        &flags,
        ("log_event", "event", first),
        |event: &mut FlagEvent| {
            let choice = event.choice.as_mut().unwrap();
            choice.evidence_reference = HOSTILE.to_owned();
        },
    )
    .await;
    world
}

/// Exports the logs of a copy, which are read as they are.
fn export(service: &str) -> String {
    let copy = "mkdir -p copy && cp mp169-data/*.db* copy";
    format!("{copy} && mp169 log export --database copy/{service}.db")
}

/// Fails if anything that was printed cannot be seen.
fn assert_visible(line: &str, Ended { stdout, stderr, .. }: &Ended) {
    for text in [stdout, stderr] {
        let hidden = text.chars().find(|&c| c != '\n' && !is_visible(c));
        assert_eq!(hidden, None, "{line}\n{}", shown(text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_printed_where_it_can_be_seen() {
    let world = hostile_world().await;
    let file = format!("{HOSTILE}.csv");
    let cells = "\u{202E}1300000000016,\u{201C}DRAGON\u{9B}\u{201D},2025-03-01,";
    fs::write(
        world.path().join(&file),
        format!("mpxn,party_id,start_time,end_time\n{cells}\n"),
    )
    .unwrap();
    fs::write(world.path().join(format!("{HOSTILE}.xml")), "nonsense").unwrap();
    let outcome = serde_json::json!({ "outcomeId": "1", "partyId": HOSTILE, "deviceId": HOSTILE });
    let no_id = serde_json::json!({ "outcomeId": HOSTILE });
    fs::write(
        world.path().join(format!("{HOSTILE}.jsonl")),
        format!("{outcome}\n{no_id}\n{{\"{HOSTILE}\": 1}}\n{HOSTILE}\n"),
    )
    .unwrap();
    let shown_name = shown(HOSTILE).to_string();
    let shows = |line: String| (line, true);
    let mut lines = Vec::new();
    for output in ["table", "json"] {
        lines.extend([
            shows(format!("mp169 party list --output {output}")),
            shows(format!("mp169 party get EAGLE --output {output}")),
            shows(format!(
                "mp169 party suspend EAGLE --reason x --output {output}"
            )),
            shows(format!(
                "mp169 party resume EAGLE --reason x --output {output}"
            )),
            shows(format!(
                "mp169 classify '{HOSTILE}.xml' examples/messages/top-up.xml --output {output}"
            )),
            shows(format!("mp169 device load '{file}' --output {output}")),
            shows(format!(
                "mp169 device load '{file}' --dry-run --output {output}"
            )),
            shows(format!(
                "mp169 outcome load '{HOSTILE}.jsonl' --output {output}"
            )),
            shows(format!(
                "mp169 outcome load '{HOSTILE}.jsonl' --dry-run --output {output}"
            )),
            shows(format!(
                "mp169 flag history --as auditor 02-DC-C1-00-00-00-01-E0 --output {output}"
            )),
            (format!("mp169 log verify --output {output}"), false),
            (format!("mp169 party add '{HOSTILE}' --name x"), false),
            (
                format!(
                    "mp169 party add NEW --name '{HOSTILE}' --role other-user --output {output}"
                ),
                false,
            ),
            shows(format!(
                "mp169 party certificate EAGLE --out '{HOSTILE}' --output {output}"
            )),
        ]);
    }
    lines.extend([
        shows(format!("mp169 outcome load '{file}'")),
        (
            format!("mp169 outcome load '{file}' --producer '{HOSTILE}'"),
            false,
        ),
        shows(export("registration")),
        shows(export("flag-registry")),
        shows(format!("mp169 log verify --database '{HOSTILE}'")),
        shows(format!("mp169 device list --home '{HOSTILE}-not-there'")),
        shows(format!("mp169 device list --as '{HOSTILE}'")),
        (format!("mp169 device get '{HOSTILE}'"), false),
    ]);
    for (line, shows) in lines {
        let ended = world.run(&line).await;
        assert_visible(&line, &ended);
        let printed = format!("{}{}", ended.stdout, ended.stderr);
        // JSON writes what is below a space in a form of its own.
        let text = printed.replace("\\r\\n", "\\u000d\\u000a");
        assert!(
            !shows || text.contains(&shown_name) || text.contains("Evil\\u001b[2J"),
            "{line}\n{}",
            shown(&printed)
        );
        if line.ends_with("json") {
            for line in ended.stdout.lines() {
                serde_json::from_str::<Value>(line).unwrap();
            }
        }
    }
    let got = world.ok("mp169 party get EAGLE --output json").await;
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got["party"]["name"], HOSTILE, "it means what it meant");
    let meter = world.ok("mp169 device get 02-DC-C1-00-00-00-03-E0").await;
    assert!(meter.contains("0000000000000"), "{meter}");
    let meters = world.ok("mp169 device list").await;
    assert!(meters.contains("0000000000000"), "{meters}");
    world.stop().await;
}
