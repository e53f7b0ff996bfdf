//! What the reports print: by what they are asked to be grouped by, and Device by Device.

use mesh_api::common::v1::MessageClass;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::{AcknowledgeFlagChangesRequest, GetSubscriptionRequest};
use mesh_api::reporting::v1::{Outcome, OutcomeOrigin, OutcomeResult, RecordOutcomesRequest};
use mesh_testkit::wait_until;
use mesh_types::{Clock as _, SystemClock};
use mp169::sample::Home;
use serde_json::Value;

use crate::world::World;

/// A read that was delivered against the choice, one that was stopped, of a variant that no table lists,
/// and a top-up.
async fn reported(world: &World) -> String {
    let device = Home::new(8).esme().to_string();
    world
        .ok(&format!(
            "mp169 flag add --as ALBION {device} --channel telephone --evidence CALL-7 --contact CRM-7 \
             --step benefits-explained --no-economy-7 --no-radio-teleswitch \
             --no-network-managed-without-wan"
        ))
        .await;
    let now = timestamp_to_wire(SystemClock.now());
    let outcomes = [
        ("4.8.1", MessageClass::Consumption, OutcomeResult::Succeeded),
        ("99.1", MessageClass::Consumption, OutcomeResult::Suppressed),
        ("2.2", MessageClass::Prepayment, OutcomeResult::Succeeded),
    ];
    let outcomes = outcomes.map(|(variant, class, result)| Outcome {
        outcome_id: variant.into(),
        party_id: "ALBION".into(),
        device_id: device.clone(),
        service_reference_variant: variant.into(),
        message_class: class.into(),
        request_time: Some(now),
        result: result.into(),
        origin: OutcomeOrigin::OnDemand.into(),
    });
    let request = RecordOutcomesRequest {
        producer: "dsp".into(),
        outcomes: outcomes.into(),
        batch_number: 0,
    };
    let mut dsp = world.clients("dsp").reporting().unwrap();
    let answer = dsp.record_outcomes(tokio_stream::iter([request])).await;
    assert_eq!(answer.unwrap().into_inner().recorded, 3);
    let at = jiff::Timestamp::from_second(now.seconds).unwrap();
    let month = at.strftime("%Y-%m").to_string();
    wait_until("the flag to be followed", async || {
        let shown = world.ok(&format!("mp169 report exceptions {month}")).await;
        let followed = shown.contains(&device);
        followed.then_some(()).ok_or(shown)
    })
    .await;
    month
}

/// The words of each line.
fn words(shown: &str) -> Vec<Vec<&str>> {
    let lines = shown.lines().map(|line| line.split_whitespace().collect());
    lines.collect()
}

fn has(shown: &str, line: &str) {
    let line: Vec<&str> = line.split_whitespace().collect();
    assert!(words(shown).contains(&line), "{line:?}\n{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_printed_by_what_they_are_grouped_by() {
    let world = World::with_sample().await;
    let month = reported(&world).await;
    let performance = format!("mp169 report performance {month}");

    let usual = world.ok(&performance).await;
    has(&usual, "ALBION other 99.1 1 0 0 1 1 0 0.0% –");
    has(&usual, "All – – 3 2 0 1 2 1 66.7% 100.0%");

    let by = format!("{performance} --by business-process,supplier");
    let processes = world.ok(&by).await;
    has(&processes, "billing-reads ALBION 1 1 0 0 1 1 100.0% –");
    has(&processes, "other ALBION 1 0 0 1 1 0 0.0% –");
    has(&processes, "prepayment ALBION 1 1 0 0 0 0 100.0% 100.0%");
    assert!(processes.contains("2026.11.1"), "{processes}");

    let own =
        format!("{performance} --as ALBION --business-process other --by variant --output json");
    let own: Value = serde_json::from_str(&world.ok(&own).await).unwrap();
    let rows = own["sections"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{own}");
    assert_eq!(rows[0]["service_reference_variant"], "99.1");

    let csv = world.ok(&format!("{performance} --output csv")).await;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(
        lines[0].starts_with("supplier,business_process,service_reference_variant,sent,"),
        "{csv}"
    );
    assert!(
        lines.contains(&"ALBION,billing-reads,4.8.1,1,1,0,0,1,1,1,"),
        "{csv}"
    );

    // What cannot be meant is refused: by the command, or by the service.
    for (wrong, code) in [
        ("--by month", 2),
        ("--by supplier,supplier", 5),
        ("--business-process billing", 5),
    ] {
        let ended = world.run(&format!("{performance} {wrong}")).await;
        assert_eq!(ended.code, Some(code), "{wrong}\n{ended:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_are_printed_by_supplier_and_csp() {
    let world = World::with_sample().await;
    let month = reported(&world).await;
    let flags = format!("mp169 report flags {month}");
    // Home 8 is on a hub of one CSP; the sample itself flags nothing.
    let json: Value =
        serde_json::from_str(&world.ok(&format!("{flags} --output json")).await).unwrap();
    let rows = |report: &Value| {
        let sections = report["sections"].as_array().unwrap();
        sections.last().unwrap()["rows"].as_array().unwrap().clone()
    };
    let row = &rows(&json)[0];
    assert_eq!(rows(&json).len(), 1, "{json}");
    assert_eq!(
        (&row["supplier"], &row["set"], &row["active"]),
        (&"ALBION".into(), &1.into(), &1.into())
    );
    let csp = row["csp"].as_str().unwrap();

    let table = world.ok(&flags).await;
    has(&table, &format!("ALBION {csp} 0 1 0 0 0 0 0 0 0 0 1 0 0 0"));
    assert!(table.contains("The month is not over"), "{table}");
    let own = world
        .ok(&format!(
            "{flags} --as ALBION --zone london --csp {csp} --output csv"
        ))
        .await;
    let lines: Vec<&str> = own.split("\r\n").collect();
    assert!(
        lines[0].starts_with("supplier,csp,active_before,set,gained,"),
        "{own}"
    );
    assert_eq!(
        lines[1],
        format!("ALBION,{csp},0,1,0,0,0,0,0,0,0,0,1,0,0,0")
    );
    for nothing in ["--party BRIGHT", "--csp elsewhere"] {
        let json = world.ok(&format!("{flags} {nothing} --output json")).await;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(rows(&json), Vec::<Value>::new(), "{nothing}");
    }
    let html = world.ok(&format!("{flags} --output html")).await;
    assert!(html.contains("Active flags by supplier"), "{html}");
    for (wrong, code) in [("--csp NORTH", 2), ("--zone paris", 2)] {
        let ended = world.run(&format!("{flags} {wrong}")).await;
        assert_eq!(ended.code, Some(code), "{wrong}\n{ended:?}");
    }
    let ended = world.run("mp169 report flags June").await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    world.stop().await;
}

/// The flag of home 8 is told to North, which says when it has applied it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promptness_is_printed_by_csp() {
    let world = World::with_sample().await;
    let month = reported(&world).await;
    let report = format!("mp169 report csp {month}");
    let row = async |of: &str| {
        let json = world.ok(&format!("{report} {of} --output json")).await;
        let json: Value = serde_json::from_str(&json).unwrap();
        let sections = json["sections"].as_array().unwrap();
        let rows = sections.last().unwrap()["rows"].as_array().unwrap();
        rows.iter().find(|row| row["csp"] == "north").cloned()
    };
    let waits = wait_until("the change to be told", async || {
        let row = row("").await;
        row.filter(|row| row["changes"] == 1).ok_or("no change")
    })
    .await;
    assert_eq!(waits["not_acknowledged"], 1, "{waits}");
    assert!(waits["oldest_not_acknowledged_time"].is_string(), "{waits}");
    assert_eq!(waits["acknowledged_median_seconds"], Value::Null, "{waits}");

    world.ok("mp169 csp watch --as CSP-NORTH --once").await;
    let mut north = world.clients("CSP-NORTH").csp().unwrap();
    let csp_id = "north".to_owned();
    let asked = GetSubscriptionRequest {
        csp_id: csp_id.clone(),
    };
    let told = north.get_subscription(asked).await.unwrap().into_inner();
    let acknowledge = AcknowledgeFlagChangesRequest {
        csp_id,
        up_to: told.subscription.unwrap().head,
        applied_time: Some(timestamp_to_wire(SystemClock.now())),
    };
    north.acknowledge_flag_changes(acknowledge).await.unwrap();
    let row = row("--as CSP-NORTH --zone london").await.unwrap();
    assert_eq!(
        (&row["acknowledged"], &row["applied"]),
        (&1.into(), &1.into())
    );
    assert_eq!(row["oldest_not_acknowledged_time"], Value::Null, "{row}");
    for seconds in ["acknowledged_p95_seconds", "applied_longest_seconds"] {
        assert!(row[seconds].is_number(), "{row}");
    }

    let table = world.ok(&report).await;
    has(&table, "All 1 1 0 – 0");
    assert!(table.contains("The month is not over"), "{table}");
    let csv = world
        .ok(&format!("{report} --csp north --output csv"))
        .await;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(
        lines[0].starts_with("csp,changes,acknowledged,not_acknowledged,"),
        "{csv}"
    );
    assert!(lines[1].starts_with("north,1,1,0,,0,"), "{csv}");
    let html = world.ok(&format!("{report} --output html")).await;
    assert!(html.contains("Changes by CSP"), "{html}");
    let earlier = world.ok("mp169 report csp 2019-01 --output csv").await;
    assert!(earlier.contains("\r\nnorth,0,0,0,,0,,"), "{earlier}");
    for (wrong, code) in [
        ("csp June", 2),
        ("csp 2026-11 --as ALBION", 2),
        ("csp 2026-11 --as ALBION --csp north", 3),
        ("csp 2026-11 --as CSP-NORTH --csp south", 3),
        ("csp 2026-11 --csp elsewhere", 5),
    ] {
        let ended = world.run(&format!("mp169 report {wrong}")).await;
        assert_eq!(ended.code, Some(code), "{wrong}\n{ended:?}");
    }
    world.stop().await;
}

/// The mesh was not there in 2019, and its first month is not over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meters_are_those_of_now_or_of_a_month_that_was_seen() {
    let world = World::with_sample().await;
    let obligation = "mp169 report obligation";
    let now = world.ok(&format!("{obligation} --party ALBION")).await;
    assert!(now.contains("As of now") && now.contains("ALBION"), "{now}");
    let at = jiff::Timestamp::now().strftime("%Y-%m").to_string();
    for (month, code, said) in [
        ("2019-01", 5, "had ended before"),
        (at.as_str(), 5, "is not over"),
        ("2019-01 --zone london", 5, "had ended before"),
        ("--zone london", 2, ""),
        ("June", 5, "month"),
    ] {
        let ended = world.run(&format!("{obligation} {month}")).await;
        assert_eq!(ended.code, Some(code), "{month}\n{ended:?}");
        assert!(format!("{ended:?}").contains(said), "{month}\n{ended:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exceptions_are_printed_by_device() {
    let world = World::with_sample().await;
    let month = reported(&world).await;
    let device = Home::new(8).esme().to_string();
    let exceptions = format!("mp169 report exceptions {month}");
    let (broken, stopped) = (
        format!("{device} ALBION 4.8.1 1 0 0 1"),
        format!("{device} ALBION 99.1 1 1 0 0"),
    );
    let all = world.ok(&exceptions).await;
    has(&all, &broken);
    has(&all, &stopped);
    let delivered = world
        .ok(&format!("{exceptions} --as ALBION --delivered"))
        .await;
    has(&delivered, &broken);
    assert!(!delivered.contains("99.1"), "{delivered}");
    let json = format!("{exceptions} --party ALBION --delivered --output json");
    let json: Value = serde_json::from_str(&world.ok(&json).await).unwrap();
    assert_eq!(json["sections"][0]["rows"][0]["delivered"], 1, "{json}");
    let other = world.ok(&format!("{exceptions} --as BRIGHT")).await;
    has(&other, "- There is none.");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_month_is_printed_as_it_was() {
    let world = World::with_sample().await;
    let load = "mp169 outcome load examples/outcomes/requests.csv";
    world.ok(load).await;
    let performance = "mp169 report performance 2025-06";
    let open = world.ok(&format!("{performance} --output csv")).await;
    // The flags of the month are known as soon as the registry was heard.
    let closed = wait_until("the month to be closed", async || {
        let ended = world.run("mp169 report close 2025-06 --output json").await;
        match ended.code {
            Some(0) => Ok(ended.stdout),
            _ => Err(format!("{ended:?}")),
        }
    })
    .await;
    let closed: Value = serde_json::from_str(&closed).unwrap();
    let edition = &closed["sections"][0]["rows"][0];
    assert_eq!(edition["edition"], "closed report");
    assert_eq!(edition["by"], "an operator");
    let sha256 = edition["content_sha256"].as_str().unwrap();
    let sum = world.ok("mp169 report content 2025-06 | sha256sum").await;
    assert_eq!(sum.split_whitespace().next(), Some(sha256));

    world.ok(&format!("{load} --producer late")).await;
    let csv = async |choice: &str| {
        world
            .ok(&format!("{performance} --output csv {choice}"))
            .await
    };
    assert_eq!(csv("").await, open);
    assert_eq!(csv("--edition 0").await, open);
    assert_ne!(csv("--now").await, open);
    let again = world.ok("mp169 report close 2025-06").await;
    has(
        &again,
        &format!(
            "2025-06 (UTC) closed report {} an operator {} 8 8 {sha256}",
            begun(edition),
            flags(edition)
        ),
    );
    world.ok("mp169 report close 2025-06 --restatement 1").await;
    assert_eq!(csv("--added-by 1").await, open, "the same once more");
    assert_eq!(csv("").await, csv("--now").await);
    let shown = world.ok(&format!("{performance} --edition 0")).await;
    assert!(shown.contains(sha256), "{shown}");

    for (wrong, code) in [
        ("performance 2025-06 --edition 2", 5),
        ("performance 2025-06 --edition 0 --now", 2),
        ("close 2025-06 --restatement 2", 4),
        ("close 2025-06 --as analyst", 3),
        ("content 2025-07", 5),
        ("editions --zone london", 2),
    ] {
        let ended = world.run(&format!("mp169 report {wrong}")).await;
        assert_eq!(ended.code, Some(code), "{wrong}\n{ended:?}");
    }
    world.stop().await;
}

fn begun(edition: &Value) -> &str {
    edition["begun_time"].as_str().unwrap()
}

fn flags(edition: &Value) -> &str {
    edition["flags"].as_str().unwrap()
}
