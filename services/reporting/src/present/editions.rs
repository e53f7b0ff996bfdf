//! Which months are closed, what are their figures rested on, and what came later?

use mesh_api::reporting::v1 as wire;
use mesh_sheet::{Cell, Column, Kind, Malformed, Report, Section, Table};

use super::{event, instant, period};

/// The key of the table.
pub const EDITIONS: &str = "editions";

/// The editions of one month, or of all.
pub fn editions(
    request: &wire::ListEditionsRequest,
    rows: &[wire::ListedEdition],
) -> Result<Report, Malformed> {
    let of = if request.month.is_empty() {
        "all months".to_owned()
    } else {
        period(&request.month, request.month_zone())
    };
    let table = Table::new(columns(), rows.iter().map(cells).collect())?;
    let mut report = Report::new("Closed months", of).with_note(
        "An edition never changes. What was recorded later is in none until it is in a restatement.",
    );
    if rows.is_empty() {
        report = report.with_note("No month is closed.");
    }
    report.with_section(Section::new(
        EDITIONS,
        "Editions",
        "Closed reports and their restatements, in the order in which they were made.",
        table,
    ))
}

/// What people call an edition.
pub(super) fn named(restatement: u32) -> String {
    match restatement {
        0 => "closed report".to_owned(),
        number => format!("restatement {number}"),
    }
}

fn columns() -> Vec<Column> {
    let text = |key: &str, title: &str| Column::new(key, title, Kind::Text);
    let count = |key: &str, title: &str, meaning: &str| {
        Column::new(key, title, Kind::Count)
            .unit("outcomes")
            .meaning(meaning)
    };
    vec![
        text("month", "Month"),
        text("edition", "Edition"),
        text("begun_time", "Begun").meaning("What was recorded before is in it."),
        text("by", "By"),
        text("flags", "Log flags up to"),
        count("outcomes", "Outcomes", "Of all months, recorded by then."),
        count("later", "Later", "Of its month, recorded later: not in it."),
        text("content_sha256", "SHA-256 of its content"),
    ]
}

fn cells(row: &wire::ListedEdition) -> Vec<Cell> {
    let edition = row.edition.clone().unwrap_or_default();
    let begun = edition.begun_time.as_ref();
    let by = if edition.by_operator {
        "an operator"
    } else {
        "itself"
    };
    vec![
        Cell::text(period(&edition.month, edition.month_zone())),
        Cell::text(named(edition.restatement)),
        Cell::text(begun.map_or_else(String::new, instant)),
        Cell::text(by),
        Cell::text(event(edition.flags.as_ref())),
        edition.outcomes.into(),
        row.later_outcomes.into(),
        Cell::text(edition.content_sha256),
    ]
}
