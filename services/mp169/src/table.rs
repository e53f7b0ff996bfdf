//! How is a file that some program wrote read as rows of named columns?
//!
//! Spreadsheets write CSV in many ways: with commas, semicolons, tabs or bars, which a first line
//! `sep=;` may name; in UTF-8 or UTF-16, with a byte order mark or without; with ends of lines of
//! any system; with empty rows and columns at the ends. What can be told apart for sure is read;
//! anything else is refused with its name, so that nothing is taken for something else.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord};

/// The separators that are looked for, the usual one first.
const SEPARATORS: [u8; 4] = *b",;\t|";
/// How much of a cell a problem repeats.
const QUOTED: usize = 60;

/// A file as rows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The columns, by the names that were asked for.
    columns: Vec<&'static str>,
    /// The rows that hold anything, each with its line, or what keeps it from being read.
    pub(crate) rows: Vec<(u64, Result<StringRecord, String>)>,
}

/// One row's cells by their columns' names.
pub(crate) struct Cells<'a> {
    columns: &'a [&'static str],
    cells: &'a StringRecord,
}

/// Why a file is not read: the line and what is wrong there.
pub(crate) type NotRead = (u64, String);

impl Table {
    /// Reads a file whose columns are those of one of `kinds`, the one whose first column it has.
    /// Returns which that is. Whoever gives a file of another kind is told to see `help`.
    pub(crate) fn read(
        octets: &[u8],
        kinds: &[&'static [&'static str]],
        help: &str,
    ) -> Result<(usize, Self), NotRead> {
        let text = decoded(octets).map_err(|problem| (1, problem))?;
        let (separator, skipped) = separator(&text);
        let mut lines = Lines::of(text.as_bytes());
        let mut reader = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(&text.as_bytes()[skipped..]);
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| (1, error.to_string()))?;
            let byte = record.position().map_or(0, csv::Position::byte);
            let line = lines.at(byte + skipped as u64);
            let record: StringRecord = record.iter().map(str::trim).collect();
            if record.iter().any(|cell| !cell.is_empty()) {
                records.push((line, record));
            }
        }
        let mut records = records.into_iter();
        let (line, header) = records.next().ok_or((1, "the file is empty".to_owned()))?;
        let (kind, columns) = columns(&header, kinds, help).map_err(|problem| (line, problem))?;
        let rows = records.map(|(line, record)| (line, fitted(record, &columns)));
        let rows = rows.collect();
        Ok((kind, Self { columns, rows }))
    }

    /// The columns that the file has.
    pub(crate) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// The cells of one of its rows.
    pub(crate) fn cells<'a>(&'a self, cells: &'a StringRecord) -> Cells<'a> {
        let columns = &self.columns;
        Cells { columns, cells }
    }
}

impl<'a> Cells<'a> {
    /// The text in a column; empty if there is no such column.
    pub(crate) fn text(&self, column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| *name == column);
        at.and_then(|at| self.cells.get(at)).unwrap_or_default()
    }
}

/// The values in a cell, which are separated by spaces.
pub(crate) fn several(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Reads the cell of a column.
pub(crate) fn read<T>(
    cells: &Cells<'_>,
    column: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = cells.text(column);
    about(column, text, read(text))
}

/// The same, if anything stands there.
pub(crate) fn optional<T>(
    cells: &Cells<'_>,
    column: &str,
    with: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if cells.text(column).is_empty() {
        return Ok(None);
    }
    read(cells, column, with).map(Some)
}

/// Names the column and what stands in it.
pub(crate) fn about<T>(column: &str, text: &str, read: Result<T, String>) -> Result<T, String> {
    read.map_err(|problem| format!("{column} {}: {problem}", quoted(text)))
}

/// A cell as a problem repeats it: not all of a long one.
pub(crate) fn quoted(cell: &str) -> String {
    let short: String = cell.chars().take(QUOTED).collect();
    let more = if short.len() < cell.len() { "…" } else { "" };
    format!("\"{short}{more}\"")
}

/// A name without what people and programs write differently: case, spaces, dashes, underscores,
/// and what cannot be seen.
pub(crate) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The file's text: UTF-8, or UTF-16 with a byte order mark.
fn decoded(octets: &[u8]) -> Result<Cow<'_, str>, String> {
    let utf_16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|octets| unit(*octets)).collect();
        match String::from_utf16(&units) {
            Ok(text) if odd.is_empty() => Ok(Cow::Owned(text)),
            _ => Err("the file is UTF-16 and damaged".to_owned()),
        }
    };
    match octets {
        [0xFF, 0xFE, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) if text.contains('\0') => Err(
                "the file holds NUL, as UTF-16 without a byte order mark does: save it as UTF-8"
                    .to_owned(),
            ),
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => {
                let at = error.valid_up_to();
                let line = Lines::of(rest).at(at as u64);
                let octet = rest.get(at).copied().unwrap_or_default();
                Err(format!(
                    "the file is not UTF-8 (octet {octet:02X} in line {line}), but perhaps Windows-1252: save it as \"CSV UTF-8\""
                ))
            }
        },
    }
}

/// The separator, and after how many octets the header begins: a line `sep=;` before it names the
/// separator; otherwise it is the one that the header has most of.
fn separator(text: &str) -> (u8, usize) {
    let first = text.split_inclusive(['\n', '\r']).next().unwrap_or("");
    let named = first.trim().trim_matches('"').to_ascii_lowercase();
    let named = named.strip_prefix("sep=").and_then(|rest| {
        let rest = if rest.is_empty() { "\t" } else { rest };
        let octet = *rest.as_bytes().first()?;
        SEPARATORS.contains(&octet).then_some(octet)
    });
    if let Some(named) = named {
        return (named, first.len());
    }
    let header = text.lines().find(|line| !line.trim().is_empty());
    let count = |separator: u8| {
        let header = header.unwrap_or_default().bytes();
        header.filter(|octet| *octet == separator).count()
    };
    let most = SEPARATORS.into_iter().rev().max_by_key(|&s| count(s));
    (most.unwrap_or(b','), 0)
}

/// Which kind of file the header is that of, and its columns. All that is wrong is said at once.
fn columns(
    header: &StringRecord,
    kinds: &[&'static [&'static str]],
    help: &str,
) -> Result<(usize, Vec<&'static str>), String> {
    let mut names: Vec<&str> = header.iter().collect();
    while names.last().is_some_and(|name| name.is_empty()) {
        names.pop();
    }
    let has = |column: &str| names.iter().any(|name| plain(name) == plain(column));
    let kind = kinds.iter().position(|columns| has(columns[0]));
    let Some(kind) = kind else {
        let firsts: Vec<&str> = kinds.iter().map(|columns| columns[0]).collect();
        return Err(format!(
            "its header {} has {}; `{help}` lists the columns",
            quoted(&names.join(", ")),
            match firsts.as_slice() {
                [only] => format!("no {only}"),
                several => format!("neither {}", several.join(" nor ")),
            }
        ));
    };
    let known = kinds[kind];
    let mut columns = Vec::new();
    let mut wrong = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match known.iter().find(|known| plain(known) == plain(name)) {
            Some(column) if columns.contains(column) => {
                wrong.push(format!("{column} is there twice"));
            }
            Some(column) => columns.push(*column),
            None if name.is_empty() => wrong.push(format!("column {} has no name", at + 1)),
            None => wrong.push(format!("there is no column {}", quoted(name))),
        }
    }
    if wrong.is_empty() {
        return Ok((kind, columns));
    }
    let all = known.join(", ");
    Err(format!("{}; the columns are {all}", wrong.join("; ")))
}

/// The row with as many cells as there are columns. What is empty at its end may be too much.
fn fitted(mut record: StringRecord, columns: &[&'static str]) -> Result<StringRecord, String> {
    let (have, want) = (record.len(), columns.len());
    let rest_is_empty = record.iter().skip(want).all(str::is_empty);
    if have < want || !rest_is_empty {
        return Err(format!("it has {have} columns, and the header has {want}"));
    }
    record.truncate(want);
    let broken = record.iter().position(|cell| cell.contains(['\n', '\r']));
    match broken.and_then(|at| columns.get(at)) {
        None => Ok(record),
        Some(column) => Err(format!(
            "{column} goes on over lines: is a quotation mark not closed?"
        )),
    }
}

/// Counts lines up to records. The reader's own count is behind where lines end with CR LF or are
/// empty.
struct Lines<'a> {
    text: &'a [u8],
    line: u64,
    at: usize,
}

impl<'a> Lines<'a> {
    const fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            line: 1,
            at: 0,
        }
    }

    /// The line of the record that the reader found from `byte` on; later ones are asked for later.
    fn at(&mut self, byte: u64) -> u64 {
        let rest = usize::try_from(byte)
            .ok()
            .and_then(|byte| self.text.get(byte..));
        let rest = rest.unwrap_or_default();
        let ends = rest.iter().take_while(|octet| b"\r\n".contains(octet));
        let start = self.text.len() - rest.len() + ends.count();
        for at in self.at..start {
            // CR LF is one end.
            let next = self.text.get(at + 1);
            let ends = match self.text[at] {
                b'\n' => true,
                b'\r' => next != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends);
        }
        self.at = start;
        self.line
    }
}
