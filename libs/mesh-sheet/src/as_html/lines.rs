//! How do counts look over time?

use maud::{Markup, html};
use mesh_types::text::shown;

use super::axis::{Axis, percent};
use super::paint::{classes, marker, stroke};
use super::picture::{Picture, name};
use crate::cell::Cell;
use crate::chart::Series;
use crate::figures::{cut, grouped};
use crate::table::{Column, Table};

/// The room above the lines, for the unit, and how high the lines may rise.
const HEAD: f64 = 36.0;
const PLOT: f64 = 210.0;
const HEIGHT: u32 = 272;
/// Where the last period stands.
const LAST: f64 = 0.97;
/// How much of a period's name is shown, and how many names there is room for.
const NAME: usize = 12;
const NAMES: usize = 5;
/// How much of a series' title stands at its end, and how far apart such titles are.
const TITLE: usize = 24;
const APART: f64 = 15.0;
/// Up to this many periods each has its marker.
const MARKED: usize = 40;

/// Where things stand: periods along, counts up.
struct Frame {
    axis: Axis,
    first: f64,
    periods: usize,
}

impl Frame {
    fn x(&self, period: usize) -> f64 {
        let steps = self.periods.saturating_sub(1);
        let part = if steps == 0 {
            0.5
        } else {
            period as f64 / steps as f64
        };
        self.first + part * (LAST - self.first)
    }

    fn y(&self, count: u128) -> f64 {
        HEAD + PLOT * (1.0 - self.axis.place(count))
    }
}

pub(super) fn over_time(table: &Table, period: &str, series: &[Series]) -> Picture {
    let at = |key: &str| table.position(key).unwrap_or_default();
    let along = at(period);
    let drawn: Vec<usize> = series.iter().map(|series| at(&series.column)).collect();
    let columns: Vec<&Column> = drawn.iter().map(|&index| &table.columns[index]).collect();
    let cells = || {
        table
            .rows
            .iter()
            .flat_map(|row| drawn.iter().map(|&index| &row[index]))
    };
    let axis = Axis::up_to(cells().filter_map(count).max().unwrap_or(0));
    let digits = u32::try_from(grouped(axis.top).chars().count()).unwrap_or(0);
    let frame = Frame {
        axis,
        first: 0.03 + 0.019 * f64::from(digits.min(20)),
        periods: table.rows.len(),
    };
    let names: Vec<String> = table.rows.iter().map(|row| name(&row[along])).collect();
    let classes = classes(series);
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let counts = |index: usize| {
        table
            .rows
            .iter()
            .map(move |row| count(&row[index]))
            .collect::<Vec<_>>()
    };
    let withheld = cells().any(|cell| *cell == Cell::Withheld);
    Picture {
        drawing: html! {
            (upright(&frame, columns.first().map_or("", |column| column.unit.as_str())))
            @for ((class, &index), title) in classes.iter().zip(&drawn).zip(&titles) {
                (curve(&frame, class, &counts(index), &names, title))
            }
            (ends(&frame, &columns, &drawn.iter().map(|&index| counts(index)).collect::<Vec<_>>()))
            (along_the_foot(&frame, &names))
        },
        height: HEIGHT,
        description: format!(
            "A line over {} periods for each of: {}.",
            names.len(),
            titles.join(", ")
        ),
        legend: classes
            .iter()
            .map(|class| stroke(class))
            .zip(titles.iter().map(|&title| title.to_owned()))
            .collect(),
        caption: withheld
            .then(|| "Figures that are withheld are not drawn.".to_owned())
            .into_iter()
            .collect(),
    }
}

fn count(cell: &Cell) -> Option<u128> {
    match cell {
        Cell::Count(count) => Some((*count).into()),
        _ => None,
    }
}

/// The axis of counts: its lines, and its ticks upon them.
fn upright(frame: &Frame, unit: &str) -> Markup {
    html! {
        text.unit x="0" y="11" { (shown(unit)) }
        @for tick in frame.axis.ticks() {
            @let y = frame.y(tick);
            line class={ @if tick == 0 { "axis" } @else { "grid" } } x1="0" y1=(y) x2="100%" y2=(y) {}
            text.tick.start x="0" y=(y - 4.0) { (grouped(tick)) }
        }
    }
}

fn along_the_foot(frame: &Frame, names: &[String]) -> Markup {
    let every = names.len().div_ceil(NAMES).max(1);
    // Counted from the end: the last is what a reader looks for.
    let mut named: Vec<(usize, &String)> = names.iter().enumerate().rev().step_by(every).collect();
    named.reverse();
    let foot = HEAD + PLOT;
    html! {
        @for (index, (period, name)) in named.iter().enumerate() {
            @let x = percent(frame.x(*period));
            @let place = if named.len() > 1 && index + 1 == named.len() { "end" } else { "middle" };
            line.axis x1=(x) y1=(foot) x2=(x) y2=(foot + 5.0) {}
            text class={ "tick " (place) } x=(x) y=(foot + 20.0) { (cut(name, NAME)) }
        }
    }
}

fn curve(
    frame: &Frame,
    class: &str,
    counts: &[Option<u128>],
    names: &[String],
    title: &str,
) -> Markup {
    let points = || {
        counts
            .iter()
            .enumerate()
            .filter_map(|(period, count)| Some((period, (*count)?)))
    };
    let steps = counts
        .windows(2)
        .enumerate()
        .filter_map(|(period, pair)| match pair {
            [Some(one), Some(other)] => Some((period, *one, *other)),
            _ => None,
        });
    let marked = counts.len() <= MARKED;
    html! {
        g {
            @for (period, one, other) in steps {
                line class={ "line-" (class) } x1=(percent(frame.x(period))) y1=(frame.y(one))
                    x2=(percent(frame.x(period + 1))) y2=(frame.y(other)) {}
            }
            @for (period, count) in points().filter(|_| marked) {
                g {
                    title { (names[period]) ": " (shown(title)) " " (grouped(count)) }
                    (marker(class, &percent(frame.x(period)), frame.y(count)))
                }
            }
        }
    }
}

/// What each line is, and what it comes to at its last point; none over another.
fn ends(frame: &Frame, columns: &[&Column], counts: &[Vec<Option<u128>>]) -> Markup {
    let last = columns.iter().zip(counts).filter_map(|(column, counts)| {
        let count = (*counts.last()?)?;
        Some((frame.y(count) - 9.0, &column.title, count))
    });
    let mut last: Vec<(f64, &String, u128)> = last.collect();
    last.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut least = f64::NEG_INFINITY;
    for (y, ..) in &mut last {
        *y = y.max(least);
        least = *y + APART;
    }
    let mut most = HEAD + PLOT - 5.0;
    for (y, ..) in last.iter_mut().rev() {
        *y = y.min(most);
        most = *y - APART;
    }
    html! {
        @for (y, title, count) in last {
            text.value x="100%" y=(y) {
                tspan.name { (cut(&shown(title).to_string(), TITLE)) } " " (grouped(count))
            }
        }
    }
}
