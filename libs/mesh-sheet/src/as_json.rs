//! How does a report look to a program?

use serde_json::{Map, Number, Value, json};

use crate::cell::Cell;
use crate::figures::{WITHHELD, seconds};
use crate::kind::Kind;
use crate::report::{Report, Section};
use crate::table::{Column, Table};

/// The report as one object. A section's `rows` are objects by the columns' keys, and so is its `total`.
///
/// Counts, shares (parts of 1) and durations (seconds) are numbers, instants are as in RFC 3339, nothing is
/// `null`, and a figure that is withheld is the string `"withheld"`. Texts are what they are; a terminal needs
/// [`mesh_types::text::shown`], which changes nothing of a JSON text's meaning.
#[must_use]
pub fn json(report: &Report) -> Value {
    let facts = report.facts.iter();
    json!({
        "title": report.title,
        "period": report.period,
        "facts": facts.map(|fact| json!({ "label": fact.label, "value": fact.value })).collect::<Value>(),
        "notes": report.notes,
        "sections": report.sections.iter().map(section).collect::<Value>(),
    })
}

fn section(section: &Section) -> Value {
    let table = &section.table;
    let total = table.total.as_deref();
    json!({
        "key": section.key,
        "title": section.title,
        "explanation": section.explanation,
        "columns": table.columns.iter().map(column).collect::<Value>(),
        "rows": table.rows.iter().map(|cells| row(table, cells)).collect::<Value>(),
        "total": total.map(|cells| row(table, cells)),
    })
}

fn column(column: &Column) -> Value {
    let holds = match column.kind {
        Kind::Text => "text",
        Kind::Count => "count",
        Kind::Share => "share",
        Kind::Duration => "seconds",
        Kind::Instant => "instant",
    };
    json!({
        "key": column.key,
        "title": column.title,
        "holds": holds,
        "unit": column.unit,
        "meaning": column.meaning,
    })
}

fn row(table: &Table, cells: &[Cell]) -> Value {
    let keys = table.columns.iter().map(|column| column.key.clone());
    keys.zip(cells.iter().map(value))
        .collect::<Map<_, _>>()
        .into()
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Text(text) => text.as_str().into(),
        Cell::Count(count) => (*count).into(),
        Cell::Share(share) => share.decimal().map_or(Value::Null, |share| number(&share)),
        Cell::Duration(duration) => number(&seconds(*duration)),
        Cell::Instant(at) => at.to_string().into(),
        Cell::Withheld => WITHHELD.into(),
        Cell::Nothing => Value::Null,
    }
}

fn number(decimal: &str) -> Value {
    let number: Result<Number, _> = decimal.parse();
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_numbers() {
        for (cell, says) in [
            (Cell::text("=\u{1B}"), r#""=\u001b""#),
            (u64::MAX.into(), "18446744073709551615"),
            (Cell::share(1, 3), "0.333333"),
            (Cell::share(3, 3), "1"),
            (Cell::share(0, 0), "null"),
            (Duration::from_millis(1_500).into(), "1.5"),
            (
                jiff::Timestamp::UNIX_EPOCH.into(),
                r#""1970-01-01T00:00:00Z""#,
            ),
            (Cell::Withheld, r#""withheld""#),
            (Cell::Nothing, "null"),
        ] {
            assert_eq!(value(&cell).to_string(), says);
        }
    }
}
