//! How does a section look to a spreadsheet?

use ::csv::{Terminator, WriterBuilder};
use mesh_types::text::shown;

use crate::cell::Cell;
use crate::figures::{WITHHELD, seconds};
use crate::report::Section;

/// What a spreadsheet takes for the start of a formula, in each width it may be written in.
const FORMULA: &[char] = &[
    '=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫',
];

/// The rows of a section as CSV (RFC 4180), below a header of the columns' keys.
///
/// Counts, shares (parts of 1) and durations (seconds) are plain numbers, instants are as in RFC 3339, and
/// nothing is empty. A text that a spreadsheet would take for a formula begins with an apostrophe. The total is
/// left out: to a program it would be one more record.
#[must_use]
pub fn csv(section: &Section) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    let table = &section.table;
    let header = table.columns.iter().map(|column| column.key.clone());
    let rows = table.rows.iter().map(|row| row.iter().map(field).collect());
    for record in std::iter::once(header.collect()).chain(rows) {
        let record: Vec<String> = record;
        writer
            .write_record(&record)
            .expect("a Vec takes what is written, and rows are as long as the header");
    }
    let bytes = writer.into_inner().expect("a Vec takes what is written");
    String::from_utf8(bytes).expect("the fields are UTF-8")
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => harmless(text),
        Cell::Count(count) => count.to_string(),
        Cell::Share(share) => share.decimal().unwrap_or_default(),
        Cell::Duration(duration) => seconds(*duration),
        Cell::Instant(at) => at.to_string(),
        Cell::Withheld => WITHHELD.to_owned(),
        Cell::Nothing => String::new(),
    }
}

/// Text that is no formula (OWASP, "CSV injection"), and in which everything can be seen.
fn harmless(text: &str) -> String {
    // Spreadsheets may skip what cannot be seen before they look for a formula.
    let skipped = |c: char| c == ' ' || !mesh_types::text::is_visible(c);
    let first = text.trim_start_matches(skipped);
    let visible = shown(text);
    if text.starts_with(FORMULA) || first.starts_with(FORMULA) {
        format!("'{visible}")
    } else {
        visible.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::Kind;
    use crate::table::{Column, Table};

    fn section(cells: Vec<Cell>) -> Section {
        let kinds = cells.iter().map(|cell| match cell {
            Cell::Count(_) => Kind::Count,
            Cell::Share(_) => Kind::Share,
            Cell::Duration(_) => Kind::Duration,
            Cell::Instant(_) => Kind::Instant,
            _ => Kind::Text,
        });
        let columns = kinds.enumerate();
        let columns = columns.map(|(index, kind)| Column::new(format!("c{index}"), "", kind));
        let table = Table::new(columns.collect(), vec![cells.clone()]).unwrap();
        Section::new("s", "S", "", table.with_total(cells).unwrap())
    }

    fn read(text: &str) -> Vec<Vec<String>> {
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let records = reader.records().map(Result::unwrap);
        records
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn a_text_that_would_be_a_formula_begins_with_an_apostrophe() {
        for (text, says) in [
            ("=1+1", "'=1+1"),
            ("+44", "'+44"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1", "'＝1"),
            ("  =1", "'  =1"),
            ("\t=1", r"'\u0009=1"),
            ("\rx", r"'\u000dx"),
            ("\u{200B}\u{A0}＋1", r"'\u200b\u00a0＋1"),
            ("a=1", "a=1"),
            ("Söhne, \"& Co\"", "Söhne, \"& Co\""),
            ("", ""),
        ] {
            assert_eq!(harmless(text), says);
        }
    }

    #[test]
    fn figures_are_plain_and_the_total_is_no_record() {
        let cells = vec![
            12_345.into(),
            Cell::share(1, 3),
            Cell::share(0, 0),
            std::time::Duration::from_millis(1_500).into(),
            jiff::Timestamp::UNIX_EPOCH.into(),
            Cell::Withheld,
            Cell::Nothing,
        ];
        assert_eq!(
            csv(&section(cells)),
            "c0,c1,c2,c3,c4,c5,c6\r\n12345,0.333333,,1.5,1970-01-01T00:00:00Z,withheld,\r\n"
        );
    }

    /// Whether a spreadsheet takes the text for a formula, said in another way than the code says it.
    fn is_formula(text: &str) -> bool {
        let first = text.chars().find(|c| !c.is_whitespace() && !c.is_control());
        first.is_some_and(|c| "=+-@＝＋－＠".contains(c))
    }

    proptest! {
        #[test]
        fn no_text_is_a_formula_and_each_reads_back(
            texts in prop::collection::vec("[ \t\r\n=+@＝＠a\u{AD}-]{0,3}.{0,10}|\\PC*|(?s).*", 1..5),
            count: u64,
        ) {
            let mut cells: Vec<Cell> = texts.iter().map(|text| Cell::text(text.as_str())).collect();
            cells.push(count.into());
            let read = read(&csv(&section(cells)));
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(read[1].len(), texts.len() + 1);
            prop_assert_eq!(read[1].last().unwrap(), &count.to_string());
            for (text, field) in texts.iter().zip(&read[1]) {
                prop_assert!(!is_formula(field), "{:?}", field);
                prop_assert!(field.chars().all(mesh_types::text::is_visible));
                let whole = shown(text).to_string();
                let guarded = field.strip_prefix('\'') == Some(whole.as_str());
                prop_assert!(*field == whole || guarded);
            }
        }
    }
}
