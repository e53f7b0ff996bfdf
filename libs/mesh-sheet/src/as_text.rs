//! How does a report look on a terminal?

use comfy_table::presets::{NOTHING as BARE, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table as Grid, Width};
use mesh_types::text::shown;
use unicode_width::UnicodeWidthStr as _;

use crate::figures::{NOTHING, line};
use crate::kind::Kind;
use crate::report::{Report, Section};
use crate::table::{Column, Table};

/// How wide a column of longer texts is at least, however little room there is.
const LEAST: u16 = 16;
/// What stands to both sides of a text.
const PADDING: u16 = 2;

/// The report as text, whose line ends are ours.
///
/// For a terminal `width` columns wide its tables have borders, and texts are cut where they do not fit; figures
/// never are. Without a width they are bare and whole, and a row is one line, for `grep` and its like.
#[must_use]
pub fn text(report: &Report, width: Option<usize>) -> String {
    let mut blocks = vec![heading(&report.title, &report.period)];
    if !report.facts.is_empty() {
        let facts = report.facts.iter();
        let pairs = facts.map(|fact| [whole(&fact.label), whole(&fact.value)]);
        blocks.push(pairs_of_lines(pairs.collect()));
    }
    blocks.extend(report.sections.iter().map(|of| section(of, width)));
    if !report.notes.is_empty() {
        let notes = report.notes.iter().map(|note| format!("- {}", shown(note)));
        blocks.push(format!("Notes\n{}", notes.collect::<Vec<_>>().join("\n")));
    }
    format!("{}\n", blocks.join("\n\n"))
}

fn heading(title: &str, sentence: &str) -> String {
    let lines = [title, sentence]
        .into_iter()
        .filter(|line| !line.is_empty());
    let lines = lines.map(|line| shown(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

fn pairs_of_lines(pairs: Vec<[String; 2]>) -> String {
    let mut grid = Grid::new();
    grid.load_style(BARE);
    grid.set_content_arrangement(ContentArrangement::Disabled);
    grid.add_rows(pairs);
    trimmed(&grid)
}

fn section(section: &Section, width: Option<usize>) -> String {
    let unit = unit_of_all(&section.table);
    let grid = grid(&section.table, unit.is_some(), width);
    let heading = heading(&section.title, &section.explanation);
    let unit = unit.map_or_else(String::new, |unit| format!("\nCounts of {}.", shown(unit)));
    format!("{heading}{unit}\n{}", trimmed(&grid))
}

/// The unit that all columns with a unit have: it need not be said of each.
fn unit_of_all(table: &Table) -> Option<&str> {
    let counts = table.columns.iter();
    let counts: Vec<_> = counts.filter(|column| !column.unit.is_empty()).collect();
    let unit = counts.first()?.unit.as_str();
    let same = |column: &&Column| column.unit == unit && column.kind == Kind::Count;
    counts.iter().all(same).then_some(unit)
}

fn trimmed(grid: &Grid) -> String {
    let text = grid.to_string();
    let lines = text.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

fn whole(text: &str) -> String {
    match text {
        "" => NOTHING.to_owned(),
        text => shown(text).to_string(),
    }
}

fn grid(table: &Table, unit_is_said: bool, width: Option<usize>) -> Grid {
    let title = |column: &Column| title(column, unit_is_said);
    let mut grid = Grid::new();
    grid.set_truncation_indicator("…");
    let rows = table.rows.iter().chain(&table.total);
    let header = table.columns.iter();
    if let Some(width) = width {
        grid.load_style(UTF8_FULL_CONDENSED);
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        grid.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        grid.set_header(header.map(|column| folded(&title(column))));
    } else {
        grid.load_style(BARE);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(header.map(title));
    }
    for cells in rows {
        let mut row = Row::from(cells.iter().map(line).collect::<Vec<_>>());
        row.max_height(1);
        grid.add_row(row);
    }
    let columns = table.columns.iter().enumerate();
    for (drawn, (index, column)) in grid.column_iter_mut().zip(columns) {
        if column.kind.is_figure() {
            drawn.set_cell_alignment(CellAlignment::Right);
            drawn.set_constraint(ColumnConstraint::ContentWidth);
        } else if width.is_some() {
            let cells = table.rows.iter().map(|row| line(&row[index]).width());
            let words = column.title.split(' ').map(str::width);
            let longest = cells.chain(words).max().unwrap_or(0);
            let longest = u16::try_from(longest).unwrap_or(LEAST);
            let least = Width::Fixed(LEAST.min(longest.saturating_add(PADDING)));
            drawn.set_constraint(ColumnConstraint::LowerBoundary(least));
        }
    }
    grid
}

fn title(column: &Column, unit_is_said: bool) -> String {
    let title = shown(&column.title);
    match column.unit.as_str() {
        unit if unit_is_said || unit.is_empty() => title.to_string(),
        unit => format!("{title} ({})", shown(unit)),
    }
}

/// A title with a word a line, or a few short ones: figures are narrower than what they are called.
fn folded(title: &str) -> String {
    const WIDTH: usize = 12;
    let mut lines: Vec<String> = Vec::new();
    for word in title.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
