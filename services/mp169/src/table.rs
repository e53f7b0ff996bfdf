//! How is a file that some program wrote read as rows of named columns?
//!
//! Spreadsheets write CSV in many ways: with commas, semicolons, tabs or bars, which a first line
//! `sep=;` may name; in UTF-8 or UTF-16, with a byte order mark or without; with ends of lines of
//! any system; with empty rows and columns at the ends. What can be told apart for sure is read;
//! anything else is refused with its name, so that nothing is taken for something else. A row is one
//! line: whatever is wrong with it, the next one is read.

mod splitter;

use csv::StringRecord;
use mesh_service::nearest;

use self::splitter::Splitter;
use crate::lines::{Line, Lines};

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

/// A file as rows that come one after the other.
pub(crate) struct Rows<'a> {
    lines: Lines<'a>,
    splitter: Splitter,
    columns: Vec<&'static str>,
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
        let lines = || Lines::of(octets).map_err(|error| (1, error.to_string()));
        // It is in memory: if some of it is no text, none of it is believed.
        let no_text = |line: Line| Some((line.number, line.text.err()?));
        if let Some(not_read) = lines()?.find_map(no_text) {
            return Err(not_read);
        }
        let (kind, rows) = Rows::of(lines()?, kinds, help)?;
        let columns = rows.columns.clone();
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

impl<'a> Rows<'a> {
    /// Reads the header, as [`Table::read`] does.
    pub(crate) fn of(
        mut lines: Lines<'a>,
        kinds: &[&'static [&'static str]],
        help: &str,
    ) -> Result<(usize, Self), NotRead> {
        let mut separator = None;
        for Line { number, text } in lines.by_ref() {
            let text = text.map_err(|problem| (number, problem))?;
            if number == 1 {
                separator = named_separator(&text);
            }
            if text.trim().is_empty() || (number == 1 && separator.is_some()) {
                continue;
            }
            let separator = *separator.get_or_insert_with(|| usual_separator(&text));
            let mut splitter = Splitter::of(separator);
            let header = splitter.cells(&text).map_err(|problem| (number, problem))?;
            if header.iter().all(str::is_empty) {
                continue;
            }
            let (kind, columns) =
                columns(&header, kinds, help).map_err(|problem| (number, problem))?;
            let rows = Self {
                lines,
                splitter,
                columns,
            };
            return Ok((kind, rows));
        }
        Err((1, "the file is empty".to_owned()))
    }

    /// The columns that the file has.
    pub(crate) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// How many octets were read so far.
    pub(crate) const fn octets(&self) -> u64 {
        self.lines.octets()
    }

    /// The cells of one of its rows.
    pub(crate) fn cells<'c>(&'c self, cells: &'c StringRecord) -> Cells<'c> {
        let columns = &self.columns;
        Cells { columns, cells }
    }

    fn row(&mut self, line: &str) -> Option<Result<StringRecord, String>> {
        match self.splitter.cells(line) {
            Ok(cells) if cells.iter().all(str::is_empty) => None,
            Ok(cells) => Some(fitted(cells, &self.columns)),
            Err(problem) => Some(Err(problem)),
        }
    }
}

/// The rows that hold anything, each with its line, or what keeps it from being read.
impl Iterator for Rows<'_> {
    type Item = (u64, Result<StringRecord, String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Line { number, text } = self.lines.next()?;
            let row = match text {
                Ok(text) => self.row(&text),
                Err(problem) => Some(Err(problem)),
            };
            if let Some(row) = row {
                return Some((number, row));
            }
        }
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

/// The separator that a line `sep=;` before the header names.
fn named_separator(first: &str) -> Option<u8> {
    let named = first.trim().trim_matches('"').to_ascii_lowercase();
    let rest = named.strip_prefix("sep=")?;
    let rest = if rest.is_empty() { "\t" } else { rest };
    let octet = *rest.as_bytes().first()?;
    SEPARATORS.contains(&octet).then_some(octet)
}

/// The separator that the header has most of.
fn usual_separator(header: &str) -> u8 {
    let count = |separator: u8| header.bytes().filter(|octet| *octet == separator).count();
    let most = SEPARATORS.into_iter().rev().max_by_key(|&s| count(s));
    most.unwrap_or(b',')
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
            None => wrong.push(unknown(name, known)),
        }
    }
    if wrong.is_empty() {
        return Ok((kind, columns));
    }
    let all = known.join(", ");
    Err(format!("{}; the columns are {all}", wrong.join("; ")))
}

fn unknown(name: &str, known: &[&'static str]) -> String {
    let written = name.to_lowercase().replace([' ', '-'], "_");
    // A text that long is no name, and would take long to compare.
    let short = Some(written).filter(|written| written.len() <= QUOTED);
    let meant = short.and_then(|written| nearest(&written, known.iter().copied()));
    let meant = meant.map_or_else(String::new, |meant| format!(", did you mean {meant}?"));
    format!("there is no column {}{meant}", quoted(name))
}

/// The row with as many cells as there are columns. What is empty at its end may be too much.
fn fitted(mut record: StringRecord, columns: &[&'static str]) -> Result<StringRecord, String> {
    let (have, want) = (record.len(), columns.len());
    let rest_is_empty = record.iter().skip(want).all(str::is_empty);
    if have < want || !rest_is_empty {
        return Err(format!("it has {have} columns, and the header has {want}"));
    }
    record.truncate(want);
    Ok(record)
}
