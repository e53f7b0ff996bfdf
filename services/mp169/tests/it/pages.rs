//! Do the pages of reports show in a browser what the reports say, and do they leave everything else alone?

mod browser;

use mesh_api::common::v1::MessageClass;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::reporting::v1::{Outcome, OutcomeOrigin, OutcomeResult, RecordOutcomesRequest};
use mesh_testkit::wait_until;
use mesh_types::{Clock as _, SystemClock, Timestamp};
use mp169::sample::Home;
use serde_json::Value;

use crate::world::{World, root};
use browser::{Browser, Seen};

/// A telephone, and a screen.
const WIDTHS: [u32; 2] = [390, 1000];
/// Homes whose requests are reported, and how often each of them was asked.
const HOMES: u16 = 40;
const TIMES: u16 = 3;
/// With classes; the last is a variant that no table lists.
const VARIANTS: [(&str, MessageClass); 4] = [
    ("4.8.1", MessageClass::Consumption),
    ("4.1.1", MessageClass::Consumption),
    ("11.3", MessageClass::Firmware),
    ("99.1", MessageClass::Configuration),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_shows_its_figures_in_a_browser_and_asks_for_nothing() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let world = World::with_sample().await;
    record(&world).await;
    let month = month();
    for report in [
        format!("performance {month}"),
        format!("flags {month}"),
        "obligation".to_owned(),
    ] {
        let html = world
            .ok(&format!("mp169 report {report} --output html"))
            .await;
        let json = world
            .ok(&format!("mp169 report {report} --output json"))
            .await;
        let json: Value = serde_json::from_str(&json).unwrap();
        let name = report.split(' ').next().unwrap();
        let page = browser.page(&format!("{name}.html"), &html);
        browser.pictures(&page);
        let (asked, console) = browser.opens(&page);
        assert!(
            asked.is_empty() && console.is_empty(),
            "{asked:?} {console:?}"
        );
        for width in WIDTHS {
            let seen = browser.looks(&page, width);
            is_tidy(&seen, name);
            assert_eq!(seen.tables, figures(&json), "{name}");
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_served_keep_to_their_policy_and_ask_for_nothing() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let world = World::with_sample().await;
    record(&world).await;
    let month = month();
    for path in [
        "/".to_owned(),
        format!("/performance?month={month}"),
        format!("/performance?month={month}&by=supplier,variant"),
        format!("/exceptions?month={month}"),
        format!("/flags?month={month}"),
        "/obligation".to_owned(),
        "/performance?month=%22%3E%3Cscript%3Econsole.log(1)%3C/script%3E".to_owned(),
    ] {
        let (asked, console) = browser.visits(&world.page(&path));
        assert!(
            asked.is_empty() && console.is_empty(),
            "{path}: {asked:?} {console:?}"
        );
    }
    world.stop().await;
}

#[test]
fn a_report_of_hostile_names_is_tidy_and_asks_for_nothing() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let sample = std::fs::read_to_string(root().join("libs/mesh-sheet/tests/golden/sample.html"));
    let page = browser.page("sample.html", &sample.unwrap());
    browser.pictures(&page);
    let (asked, console) = browser.opens(&page);
    assert!(
        asked.is_empty() && console.is_empty(),
        "{asked:?} {console:?}"
    );
    for width in WIDTHS {
        is_tidy(&browser.looks(&page, width), "the sample");
    }
}

/// Otherwise the tests above could not fail.
#[test]
fn what_a_page_does_wrong_is_seen() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let page = browser.page(
        "wrong.html",
        "<!doctype html><meta charset=utf-8><title>Wrong</title>\
         <img src='http://127.0.0.1:9/picture.png' alt=''>\
         <script>console.error('something went wrong')</script>\
         <p style='position:absolute;top:100px;left:0'>below the other\
         <p style='position:absolute;top:100px;left:5px'>above the other\
         <p style='position:absolute;top:300px;left:380px;white-space:nowrap'>out of the page\
         <div style='position:absolute;top:400px;left:0;width:200px;overflow:auto'>\
         <p style='width:900px'>in a box that scrolls, which is as long as it likes to be and in which nobody minds it</div>",
    );
    let (asked, console) = browser.opens(&page);
    assert_eq!(asked, ["http://127.0.0.1:9/picture.png"]);
    assert!(console[0].contains("something went wrong"), "{console:?}");
    let seen = browser.looks(&page, 390);
    assert_eq!(seen.overlaps, [["below the other", "above the other"]]);
    assert_eq!(seen.beyond, ["out of the page"]);
}

fn is_tidy(seen: &Seen, name: &str) {
    assert!(seen.texts > 20, "{name}: {seen:?}");
    assert!(seen.overlaps.is_empty(), "{name}: {:?}", seen.overlaps);
    assert!(seen.beyond.is_empty(), "{name}: {:?}", seen.beyond);
}

/// What the tables of the page have to show, by what programs are given.
fn figures(report: &Value) -> Vec<Vec<Vec<String>>> {
    let table = |section: &Value| {
        let columns = section["columns"].as_array().unwrap();
        let rows = section["rows"].as_array().unwrap().iter();
        let rows = rows.chain(Some(&section["total"]).filter(|total| !total.is_null()));
        let row = |row: &Value| {
            let cells = columns.iter().map(|column| {
                let key = column["key"].as_str().unwrap();
                let holds = column["holds"].as_str().unwrap();
                shown(holds, &row[key])
            });
            cells.collect()
        };
        rows.map(row).collect()
    };
    report["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(table)
        .collect()
}

fn shown(holds: &str, value: &Value) -> String {
    match (holds, value) {
        (_, Value::Null) => "–".to_owned(),
        ("count", count) => {
            let digits = count.to_string();
            let groups = digits.as_bytes().rchunks(3).rev();
            let groups: Vec<_> = groups
                .map(|group| std::str::from_utf8(group).unwrap())
                .collect();
            groups.join("\u{2009}")
        }
        ("share", share) => format!("{:.1}%", share.as_f64().unwrap() * 100.0),
        (_, text) => text.as_str().unwrap().to_owned(),
    }
}

/// The month before this one, by a day in its middle.
fn middle() -> Timestamp {
    const DAY: i64 = 86_400 * 1_000_000;
    let now = jiff::Timestamp::from_microsecond(SystemClock.now().micros()).unwrap();
    let first = now
        .to_zoned(jiff::tz::TimeZone::UTC)
        .first_of_month()
        .unwrap();
    let first = first.start_of_day().unwrap().timestamp().as_microsecond();
    Timestamp::from_micros(first - 14 * DAY)
}

fn month() -> String {
    let middle = jiff::Timestamp::from_microsecond(middle().micros()).unwrap();
    middle.strftime("%Y-%m").to_string()
}

/// Records what became of the requests of some homes, and waits until reports tell of it.
async fn record(world: &World) {
    let mut outcomes = Vec::new();
    for number in 10..10 + HOMES {
        let home = Home::new(number);
        for (variant, class) in VARIANTS {
            for time in 0..TIMES {
                let result = match (number + time) % 5 {
                    0 => OutcomeResult::Failed,
                    _ => OutcomeResult::Succeeded,
                };
                outcomes.push(Outcome {
                    outcome_id: (outcomes.len() + 1).to_string(),
                    party_id: home.electricity().id.to_owned(),
                    device_id: home.esme().to_string(),
                    service_reference_variant: variant.to_owned(),
                    message_class: class.into(),
                    request_time: Some(timestamp_to_wire(middle())),
                    result: result.into(),
                    origin: OutcomeOrigin::OnDemand.into(),
                });
            }
        }
    }
    let sent = outcomes.len();
    let request = RecordOutcomesRequest {
        producer: "pages".to_owned(),
        outcomes,
        batch_number: 0,
    };
    let mut client = world.clients("dsp").reporting().unwrap();
    let answer = client.record_outcomes(tokio_stream::once(request)).await;
    assert_eq!(answer.unwrap().into_inner().recorded, sent as u64);
    wait_until("the reports", async || {
        let ended = world
            .run(&format!("mp169 report performance {}", month()))
            .await;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(format!("{ended:?}")),
        }
    })
    .await;
}
