//! How does a table look on a page?

use maud::{Markup, html};
use mesh_types::text::shown;

use super::outside;
use crate::cell::Cell;
use crate::figures::on_page;
use crate::kind::Kind;
use crate::report::Section;
use crate::table::{Column, Table};

/// A table of so many rows is printed on one page.
const SHORT: usize = 6;

pub(super) fn table(number: usize, section: &Section) -> Markup {
    let table = &section.table;
    let caption = format!("{}-table", section.key);
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby=(caption) {
            table class=[(table.rows.len() <= SHORT).then_some("short")] {
                caption id=(caption) { b { "Table " (number) } " " (outside(&section.title)) }
                thead { tr { @for column in &table.columns { (head(column)) } } }
                tbody { @for row in &table.rows { (cells(table, row)) } }
                @if let Some(total) = &table.total { tfoot { (cells(table, total)) } }
            }
        }
        @if table.rows.is_empty() { p.empty { "There is nothing to show." } }
        (meanings(table))
    }
}

/// Figures stand at the right, so that their digits are under each other.
fn class(column: &Column) -> &'static str {
    match column.kind {
        Kind::Text => "text",
        Kind::Instant => "instant",
        Kind::Count | Kind::Share | Kind::Duration => "figure",
    }
}

fn head(column: &Column) -> Markup {
    html! {
        th scope="col" class=(class(column)) {
            (outside(&column.title))
            @if !column.unit.is_empty() { " " span.unit { (outside(&column.unit)) } }
        }
    }
}

fn cells(table: &Table, row: &[Cell]) -> Markup {
    html! {
        tr {
            @for (index, (column, cell)) in table.columns.iter().zip(row).enumerate() {
                @if index == 0 && !column.kind.is_figure() {
                    th scope="row" class=(class(column)) { (content(cell)) }
                } @else {
                    td class=(class(column)) { (content(cell)) }
                }
            }
        }
    }
}

fn content(cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => outside(text),
        Cell::Instant(_) => html! { time { (on_page(cell)) } },
        Cell::Withheld => html! { i { (on_page(cell)) } },
        _ => html! { (on_page(cell)) },
    }
}

fn meanings(table: &Table) -> Markup {
    let meant = |column: &&Column| !column.meaning.is_empty();
    let columns: Vec<&Column> = table.columns.iter().filter(meant).collect();
    html! {
        @if !columns.is_empty() {
            dl.meanings {
                @for column in columns {
                    div {
                        dt { (shown(&column.title)) }
                        dd { (outside(&column.meaning)) }
                    }
                }
            }
        }
    }
}
