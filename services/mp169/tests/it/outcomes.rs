//! Are outcomes of Service Requests loaded from files, and is each that is not told by its line?

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::world::World;

const HEADER: &str = "outcome_id,party_id,device_id,service_reference_variant,message_class,\
    request_time,result,origin";

/// A row that has all that is needed.
fn row(id: &str, party: &str, result: &str) -> String {
    format!(
        "{id},{party},02-DC-C1-00-00-00-01-E0,4.8.1,consumption,2025-06-01T01:10:04Z,{result},scheduled"
    )
}

fn write(world: &World, name: &str, rows: &[String]) {
    let text = format!("{HEADER}\n{}\n", rows.join("\n"));
    fs::write(world.path().join(name), text).unwrap();
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What the last line counts.
fn sums(stdout: &str) -> [u64; 4] {
    let last = lines(stdout).pop().unwrap();
    assert!(last["seconds"].as_f64().is_some(), "{last}");
    let names = ["recorded", "duplicates", "refused", "unreadable"];
    names.map(|name| last[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_both_kinds_of_files_are_reported_once() {
    let world = World::with_sample().await;
    let line = "mp169 outcome load examples/outcomes/requests.csv examples/outcomes/requests.jsonl";
    let first = world.ok(line).await;
    assert!(
        first.starts_with("12 recorded, 0 duplicates, 0 refused, 0 unreadable, in "),
        "{first}"
    );
    let again = world.ok(&format!("{line} --output json")).await;
    assert_eq!(sums(&again), [0, 12, 0, 0]);
    let piped =
        "cat examples/outcomes/requests.csv | mp169 outcome load - --format csv --output json";
    assert_eq!(sums(&world.ok(piped).await), [0, 8, 0, 0]);
    // Ids are those of a producer.
    let other = format!("{piped} --producer dsp-2");
    assert_eq!(sums(&world.ok(&other).await), [8, 0, 0, 0]);
    let report = world.ok("mp169 report performance 2025-06").await;
    let report: Vec<&str> = report.split_whitespace().collect();
    assert!(
        report.join(" ").contains("Outcomes recorded 20 "),
        "{report:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_not_read_is_told_by_its_line_and_keeps_nothing_else_out() {
    let world = World::with_examples().await;
    let rows = [
        row("1", "DRAGON", "failed"),
        row("2", "NOBODY", "failed"),
        row("3", "DRAGON", "lost"),
        // The same once more, and another under the same id: only the second is refused.
        row("1", "DRAGON", "failed"),
        row("1", "DRAGON", "succeeded"),
        row("4", "EAGLE", "suppressed"),
    ];
    write(&world, "june.csv", &rows);
    let ended = world.run("mp169 outcome load june.csv --output json").await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    let said = "3 of 6 outcomes were not recorded";
    assert!(ended.stderr.contains(said), "{ended:?}");
    let told = lines(&ended.stdout);
    let places: Vec<_> = told[..3].iter().map(|told| &told["line"]).collect();
    assert_eq!(places, [3, 4, 6], "{ended:?}");
    assert_eq!(told[0]["outcomeId"], "2");
    assert_eq!(told[0]["status"]["reason"], "ERROR_REASON_FIELD_INVALID");
    assert_eq!(told[1]["outcomeId"], Value::Null);
    assert!(told[1]["status"].to_string().contains("lost"), "{ended:?}");
    assert_eq!(
        told[2]["status"]["reason"],
        "ERROR_REASON_REQUEST_ID_REUSED"
    );
    assert_eq!(sums(&ended.stdout), [2, 1, 2, 1]);

    let table = world.run("mp169 outcome load june.csv").await;
    for said in [
        "june.csv:3  2  refused: FIELD_INVALID: party_id",
        "june.csv:4  –  unreadable: result \"lost\"",
        "june.csv:6  1  refused: REQUEST_ID_REUSED",
        "0 recorded, 3 duplicates, 2 refused, 1 unreadable, in ",
    ] {
        assert!(table.stdout.contains(said), "{said}\n{table:?}");
    }
    world.stop().await;
}

/// More of them than one answer of the service names.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_told_however_many_there_are() {
    let world = World::with_examples().await;
    let mut text = String::new();
    for number in 1..=2_500 {
        let party = if number % 5 == 0 { "DRAGON" } else { "NOBODY" };
        let outcome = json!({
            "outcomeId": number.to_string(),
            "partyId": party,
            "deviceId": "02-DC-C1-00-00-00-01-E0",
            "serviceReferenceVariant": "4.8.1",
            "messageClass": "MESSAGE_CLASS_CONSUMPTION",
            "requestTime": "2025-06-01T01:10:04Z",
            "result": "OUTCOME_RESULT_FAILED",
            "origin": "OUTCOME_ORIGIN_SCHEDULED",
        });
        writeln!(text, "{outcome}").unwrap();
    }
    fs::write(world.path().join("june.ndjson"), text).unwrap();
    let ended = world
        .run("mp169 outcome load june.ndjson --output json")
        .await;
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert_eq!(sums(&ended.stdout), [500, 0, 2_000, 0]);
    let mut told = lines(&ended.stdout);
    told.pop();
    let places = told.iter().map(|told| told["line"].as_u64().unwrap());
    assert!(places.eq((1..=2_500).filter(|number| number % 5 != 0)));
    for told in told {
        let id = told["outcomeId"].as_str().unwrap();
        assert_eq!(id.parse().ok(), told["line"].as_u64());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_mesh_and_a_header_that_is_not_understood_keeps_all_out() {
    let world = World::with_examples().await;
    let rows = [
        row("1", "DRAGON", "failed"),
        row("2", "DRAGON", "failed").replace("2025", "2015"),
        row("3", "DRAGON", "failed").replace("4.8.1", "four"),
        row("4", "NOBODY", "failed"),
        row("5", "DRAGON", "lost"),
    ];
    write(&world, "june.csv", &rows);
    fs::write(
        world.path().join("july.csv"),
        HEADER.replace("result", "results"),
    )
    .unwrap();
    let ended = world.run("mp169 outcome load june.csv july.csv").await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    for said in [
        "july.csv:1: there is no column \"results\", did you mean result?",
        "1 of 2 files could not be read; nothing was loaded",
    ] {
        assert!(ended.stderr.contains(said), "{said}\n{ended:?}");
    }
    for (line, code, said) in [
        ("mp169 outcome load - < june.csv", 2, "--format"),
        ("mp169 outcome load june.csv --producer DSP", 2, "a-z"),
        ("mp169 outcome load june.csv nowhere.csv", 1, "nowhere.csv"),
        ("mp169 outcome load june.csv --as DRAGON", 3, "--as"),
    ] {
        let ended = world.run(line).await;
        assert_eq!(ended.code, Some(code), "{line}\n{ended:?}");
        assert!(ended.stderr.contains(said), "{line}\n{ended:?}");
    }
    let report = world.ok("mp169 report performance 2025-06").await;
    assert!(report.contains("No outcome"), "{report}");

    let dry = "mp169 outcome load june.csv --dry-run";
    let ended = world.run_after_the_end(dry).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.stderr.contains("Not checked"), "{ended:?}");
    for said in [
        "june.csv:3  2  refused: FIELD_INVALID: request_time",
        "june.csv:4  3  refused: FIELD_INVALID: service_reference_variant",
        "june.csv:6  –  unreadable",
        "5 outcomes were read and none was loaded: 2 would be refused",
    ] {
        assert!(ended.stdout.contains(said), "{said}\n{ended:?}");
    }
}

/// As with `| head`: the load goes on, and its exit code says what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_on_though_nobody_reads_what_was_refused() {
    let world = World::with_examples().await;
    let rows: Vec<String> = (0..3_000)
        .map(|number| {
            row(
                &number.to_string(),
                if number < 2_000 { "NOBODY" } else { "DRAGON" },
                "failed",
            )
        })
        .collect();
    write(&world, "june.csv", &rows);
    let line = "{ mp169 outcome load june.csv; echo $? > code; } | head -n 1";
    world.ok(line).await;
    let code = fs::read_to_string(world.path().join("code")).unwrap();
    assert_eq!(code, "5\n");
    let report = world.ok("mp169 report performance 2025-06").await;
    let report: Vec<&str> = report.split_whitespace().collect();
    assert!(
        report.join(" ").contains("Outcomes recorded 1000 "),
        "{report:?}"
    );
    world.stop().await;
}
