//! What holds of every report, whatever its texts?

use std::time::Duration;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};
use mesh_types::text::shown;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::page::{Page, read};
use crate::sample;

/// Elements and attributes by which a page could load or run something.
const ACTIVE: [&str; 10] = [
    "script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "use",
];

fn is_harmless(page: &Page) -> Result<(), TestCaseError> {
    prop_assert!(page.faults.is_empty(), "{:?}", page.faults);
    for element in &page.elements {
        prop_assert!(!ACTIVE.contains(&element.as_str()), "{}", element);
    }
    for (name, value) in &page.attributes {
        let runs = name.starts_with("on") || ["src", "style", "srcset"].contains(&name.as_str());
        prop_assert!(!runs, "{}", name);
        prop_assert!(name != "href" || value.starts_with('#'), "{}", value);
    }
    let visible = |c: char| c == '\n' || c == '\u{2009}' || mesh_types::text::is_visible(c);
    prop_assert!(page.text.chars().all(visible));
    Ok(())
}

/// What a page shows for a value of JSON, if that is a count, a text, or nothing.
fn as_shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("–".to_owned()),
        Value::String(text) => Some(shown(text).to_string()),
        Value::Number(number) => number.as_u64().map(|count| count.to_string()),
        _ => None,
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("it is an array")
}

/// Whether the tables of the page hold what the JSON holds.
fn are_the_same(report: &Report, page: &Page) -> Result<(), TestCaseError> {
    let json = mesh_sheet::json(report);
    let sections = array(&json["sections"]);
    prop_assert_eq!(sections.len(), page.tables.len());
    for (section, table) in sections.iter().zip(&page.tables) {
        let (columns, rows) = (array(&section["columns"]), array(&section["rows"]));
        prop_assert_eq!(rows.len(), table.len());
        for (row, cells) in rows.iter().zip(table) {
            prop_assert_eq!(columns.len(), cells.len());
            for (column, cell) in columns.iter().zip(cells) {
                let key = column["key"].as_str().unwrap_or_default();
                is_the_same(column, &row[key], cell)?;
            }
        }
    }
    Ok(())
}

fn is_the_same(column: &Value, value: &Value, cell: &str) -> Result<(), TestCaseError> {
    match (column["holds"].as_str(), value.as_f64()) {
        (Some("share"), Some(ratio)) => {
            let percent = cell.trim_start_matches(['<', '>']).trim_end_matches('%');
            let percent: f64 = percent.parse().unwrap_or(f64::NAN);
            prop_assert!(
                (percent - ratio * 100.0).abs() < 0.1001,
                "{} {}",
                cell,
                ratio
            );
        }
        (Some("seconds"), Some(_)) => prop_assert!(cell.ends_with(['s', 'n', 'h']), "{}", cell),
        _ => prop_assert_eq!(as_shown(value), Some(cell.replace('\u{2009}', ""))),
    }
    Ok(())
}

#[test]
fn the_page_of_the_sample_is_whole_harmless_and_shows_the_same_figures() {
    let report = sample::report();
    let html = mesh_sheet::html(&report);
    let page = read(&html);
    is_harmless(&page).unwrap();
    are_the_same(&report, &page).unwrap();
    assert_eq!(html, mesh_sheet::html(&report));
    let charts = page
        .attributes
        .iter()
        .filter(|(name, value)| name == "role" && value == "img");
    assert_eq!(charts.count(), 4);
    let ids = || {
        page.attributes
            .iter()
            .filter(|(name, _)| name == "id")
            .map(|(_, id)| id.as_str())
    };
    let once: std::collections::BTreeSet<&str> = ids().collect();
    assert_eq!(once.len(), ids().count(), "an id is there twice");
    for (name, value) in &page.attributes {
        let named = match name.as_str() {
            "aria-labelledby" => value.as_str(),
            "href" => value.trim_start_matches('#'),
            _ => continue,
        };
        assert!(
            named.split(' ').all(|id| once.contains(id)),
            "{name}={value}"
        );
    }
}

#[test]
fn the_policy_names_the_style_that_the_page_has() {
    let html = mesh_sheet::html(&sample::report());
    let (_, rest) = html.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}';");
    assert!(html.contains(&policy), "{policy}");
    assert!(!style.contains("://") && !style.contains("@import"));
}

#[test]
fn a_chart_of_many_rows_shows_the_largest_and_says_so() {
    let columns = vec![
        Column::new("name", "Name", Kind::Text),
        Column::new("count", "Count", Kind::Count),
    ];
    let rows =
        |count: u64| (1..=count).map(|n| vec![Cell::text(format!("number {n} of them")), n.into()]);
    let page = |count| {
        let table = Table::new(columns.clone(), rows(count).collect()).unwrap();
        let chart = Chart::stacked_bars("Chart", "name", [Series::of("count")]);
        let section = Section::new("s", "S", "", table).with_chart(chart).unwrap();
        let report = Report::new("R", "").with_section(section).unwrap();
        read(&mesh_sheet::html(&report))
    };
    let whole = page(25);
    assert!(!whole.text.contains("others") && whole.text.contains("number 1 of them: Count 1"));
    let cut = page(40);
    // 1 to 16 are 136 together; the largest stand first.
    assert!(cut.text.contains("16 others: Count 136"), "{}", cut.text);
    assert!(cut.text.contains("Of 40 rows the 24 largest are drawn"));
    assert!(
        cut.text.contains("number 40 of them: Count 40")
            && !cut.text.contains("number 16 of them: Count")
    );
    assert_eq!(cut.tables[0].len(), 40, "the table has all rows");
}

#[test]
fn what_is_withheld_is_in_no_form() {
    let report = sample::report();
    let json = mesh_sheet::json(&report);
    assert_eq!(json["sections"][2]["rows"][3]["stopped"], "withheld");
    let csv = mesh_sheet::csv(report.section("months").unwrap());
    assert!(csv.contains("2026-04,") && csv.contains(",withheld,"));
    let html = mesh_sheet::html(&report);
    assert!(html.contains("<i>withheld</i>"));
    assert!(html.contains("Successful withheld, Failed withheld, Excepted by choice 2\u{2009}001"));
    assert!(html.contains("Figures that are withheld are not drawn."));
}

#[test]
fn an_empty_report_is_a_report() {
    let empty = report_of(vec![], "Empty").unwrap();
    for report in [Report::new("", ""), empty] {
        let page = read(&mesh_sheet::html(&report));
        is_harmless(&page).unwrap();
        are_the_same(&report, &page).unwrap();
        assert!(mesh_sheet::text(&report, Some(0)).ends_with('\n'));
    }
}

/// A report with a section for each form of chart, all of the same rows, and with a text wherever one can be.
fn report_of(rows: Vec<Vec<Cell>>, outside: &str) -> Result<Report, Malformed> {
    let columns = vec![
        Column::new("name", outside, Kind::Text).meaning(outside),
        Column::new("one", outside, Kind::Count).unit(outside),
        Column::new("two", "Two", Kind::Count),
        Column::new("share", outside, Kind::Share),
        Column::new("time", "Time", Kind::Duration),
        Column::new("at", "At", Kind::Instant),
    ];
    let table = Table::new(columns, rows)?;
    let series = || [Series::of("one"), Series::excepted("two")];
    let charts = [
        ("bars", Chart::stacked_bars(outside, "name", series())),
        (
            "dots",
            Chart::shares(outside, "name", "share", Some("share")),
        ),
        ("dot", Chart::shares("Dot", "name", "share", None)),
        ("lines", Chart::over_time(outside, "at", series())),
        ("names", Chart::over_time("Names", "name", series())),
    ];
    let report = Report::new(outside, outside)
        .with_fact(outside, outside)
        .with_note(outside);
    charts.into_iter().try_fold(report, |report, (key, chart)| {
        let section = Section::new(key, outside, outside, table.clone());
        report.with_section(section.with_chart(chart)?)
    })
}

fn count() -> impl Strategy<Value = Cell> {
    prop_oneof![
        8 => any::<u64>().prop_map(Cell::from),
        8 => (0..5_000_u64).prop_map(Cell::from),
        1 => Just(Cell::Withheld),
        1 => Just(Cell::Nothing),
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("</style><script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("<!-- ".to_owned()),
        "[<>&\"'=a/ !-]{0,12}",
        "(?s).{0,80}",
    ]
}

fn row() -> impl Strategy<Value = Vec<Cell>> {
    let share =
        (0..1_000_u64, 0..1_000_u64).prop_map(|(part, rest)| Cell::share(part, part + rest));
    let at = (0..4_000_000_000_i64)
        .prop_map(|second| (Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)).into());
    let time = (0..100_000_000_u64).prop_map(|millis| Duration::from_millis(millis).into());
    (hostile(), count(), count(), share, time, at).prop_map(|(name, one, two, share, time, at)| {
        vec![name.as_str().into(), one, two, share, time, at]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_gets_out_of_its_place_and_all_forms_agree(
        rows in prop::collection::vec(row(), 0..30),
        outside in hostile(),
        width in prop::option::of(0..200_usize),
    ) {
        let report = report_of(rows.clone(), &outside).unwrap();
        let html = mesh_sheet::html(&report);
        prop_assert!(!html.to_lowercase().contains("<script"));
        let page = read(&html);
        is_harmless(&page)?;
        are_the_same(&report, &page)?;
        let text = mesh_sheet::text(&report, width);
        prop_assert!(text.chars().all(|c| c == '\n' || mesh_types::text::is_visible(c)));
        let records = mesh_sheet::csv(report.section("bars").unwrap());
        let mut reader = csv::Reader::from_reader(records.as_bytes());
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), rows.len());
        for (record, row) in read.iter().zip(&mesh_sheet::json(&report)["sections"][0]["rows"].as_array().unwrap()[..]) {
            for (key, index) in [("one", 1), ("two", 2), ("share", 3), ("time", 4), ("at", 5)] {
                let says = match &row[key] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    number => number.to_string(),
                };
                let numbers = (record[index].parse::<f64>(), says.parse::<f64>());
                let equal = matches!(numbers, (Ok(one), Ok(other)) if one.total_cmp(&other).is_eq());
                prop_assert!(equal || record[index] == *says, "{} {}", &record[index], says);
            }
        }
    }
}
