//! How answers are shown: a table for people, canonical JSON for programs.
//!
//! The one printer of the command. Names, reasons, files and what a server says come from others;
//! whatever of them cannot be seen is written as JSON escapes it ([`shown`]), whether it goes to
//! standard output or to standard error, so that nothing steers the terminal or looks like
//! something else. In a line of JSON that changes nothing of its meaning.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::{Context as _, Result};
use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use jiff::Timestamp;
use mesh_types::Eui64;
use mesh_types::text::shown;
use prost::{Message, Name};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

pub(crate) use crate::canonical::json;
use crate::exit::ReaderGone;

/// An empty table, with a header unless that is empty, that fits the terminal, or `COLUMNS` (120 if unset) where there is none.
#[must_use]
pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        let columns = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        table.set_width(columns.unwrap_or(120));
    }
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    table
}

/// Prints a table: with borders and fitted on a terminal; elsewhere bare and one line a row, for
/// `grep` and its like.
pub(crate) fn print_table(header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    print_text(&table(header, rows))
}

/// The same as text.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = new_table(header);
    if !std::io::stdout().is_terminal() {
        table.load_style(NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    let is_id = |cell: Option<&String>| cell.is_some_and(|cell| cell.parse::<Eui64>().is_ok());
    let columns = 0..rows.first().map_or(0, Vec::len);
    let ids = columns.filter(|&column| rows.iter().any(|row| is_id(row.get(column))));
    let ids: Vec<usize> = ids.collect();
    fill(&mut table, rows);
    for column in ids {
        if let Some(column) = table.column_mut(column) {
            // Whole, because it is copied into the next command.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Adds rows. A cell is one line, whatever it holds.
pub(crate) fn fill(table: &mut Table, rows: impl IntoIterator<Item: IntoIterator<Item: Display>>) {
    for row in rows {
        table.add_row(row.into_iter().map(|cell| one_line(&cell)));
    }
}

/// Text from anywhere as a part of one line.
#[must_use]
pub(crate) fn one_line(text: &impl Display) -> String {
    shown(&text.to_string()).to_string()
}

/// Prints names and values, one pair a row.
pub(crate) fn print_fields(fields: &[(&str, String)]) -> Result<()> {
    let rows = fields.iter().map(|(name, value)| {
        let value = if value.is_empty() { "–" } else { value };
        vec![(*name).to_owned(), value.to_owned()]
    });
    print_table(&[], rows.collect())
}

/// Prints a line.
///
/// # Errors
/// [`ReaderGone`], or that the line could not be written.
pub(crate) fn print_line(line: &impl Display) -> Result<()> {
    write_lines(std::io::stdout(), [line])
}

/// Prints text whose line ends are ours, such as a table.
pub(crate) fn print_text(text: &impl Display) -> Result<()> {
    write_lines(std::io::stdout(), text.to_string().lines())
}

/// Prints a document in which its writer has made everything seen, as it is.
pub(crate) fn print_document(document: &str) -> Result<()> {
    write_all(std::io::stdout(), document)
}

/// How wide a table may be: as the terminal, or as `COLUMNS` says (120 if unset); nothing where no terminal is.
pub(crate) fn width() -> Option<usize> {
    let table = new_table(&[]);
    let width = table.width().map(usize::from);
    width.filter(|_| std::io::stdout().is_terminal())
}

/// Shows text, whose line ends are ours, in place of what the terminal shows.
pub(crate) fn redraw(text: &str) -> Result<()> {
    // To the upper left corner; then each line is cleared behind its end, and what is left below at the last.
    let lines = text
        .lines()
        .map(|line| format!("{}\u{1B}[K\n", one_line(&line)));
    let drawn = format!("\u{1B}[H{}\u{1B}[J", lines.collect::<String>());
    write_all(std::io::stdout(), &drawn)
}

/// Says a line on standard error, to whom the answer is not enough.
pub(crate) fn complain(line: &impl Display) {
    // Where that cannot be written, there is nowhere to say so.
    let _ = write_lines(std::io::stderr(), [line]);
}

fn write_lines(to: impl Write, lines: impl IntoIterator<Item: Display>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&one_line(&line));
        text.push('\n');
    }
    write_all(to, &text)
}

fn write_all(mut to: impl Write, text: &str) -> Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write the answer"),
    }
}

/// Resolves when whoever read the answer went away, though nothing is being printed.
pub(crate) async fn reader_gone() -> ReaderGone {
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: it may wait for ever, and ends with the process.
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        let mut ended = [PollFd::new(&stdout, PollFlags::empty())];
        if retry_on_intr(|| poll(&mut ended, None)).is_ok() {
            let _ = tell.send(ReaderGone);
        }
    });
    match told.await {
        Ok(gone) => gone,
        Err(_) => std::future::pending().await,
    }
}

/// Prints text whose line ends are ours, of something that goes on whether anybody reads it or not.
pub(crate) fn say(text: &impl Display) {
    let _ = print_text(text);
}

/// Prints a protobuf message as one line of JSON, so that the answers to many commands are JSON
/// Lines.
pub(crate) fn print_json<M: Message + Name>(message: &M) -> Result<()> {
    print_line(&json(message)?)
}

/// An instant for people: RFC 3339, or a dash.
#[must_use]
pub(crate) fn instant(at: Option<&prost_types::Timestamp>) -> String {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .map_or_else(|| "–".to_owned(), |at| at.to_string())
}

/// How long something is, for people: in the largest unit of which there are two at least.
#[must_use]
pub(crate) fn length(of: Duration) -> String {
    let seconds = of.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", of.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A name of an enum's value without its prefix.
#[must_use]
pub(crate) fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server could say it in the message of a status.
    const HOSTILE: &str = "no\u{1B}[2J\nmp169: done\u{202E}";

    #[test]
    fn a_line_is_one_line_and_can_be_seen() {
        let mut written = Vec::new();
        write_lines(&mut written, [HOSTILE]).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text, "no\\u001b[2J\\u000amp169: done\\u202e\n");
    }

    #[test]
    fn a_length_is_told_in_a_unit_that_fits() {
        for (seconds, says) in [
            (0.25, "0.2 s"),
            (45.2, "45 s"),
            (150.0, "2 minutes"),
            (7_200.0, "2 hours"),
            (2_600_000.0, "30 days"),
        ] {
            assert_eq!(length(Duration::from_secs_f64(seconds)), says);
        }
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_row() {
        let mut table = new_table(&[]);
        fill(&mut table, [[HOSTILE, "x"]]);
        table.load_style(NOTHING);
        assert_eq!(table.to_string().lines().count(), 1, "{table}");
    }
}
