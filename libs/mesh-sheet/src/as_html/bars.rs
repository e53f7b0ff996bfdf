//! How do bars of counts that add up look?

use maud::{Markup, html};
use mesh_types::text::shown;

use super::axis::{Axis, FOOT, counts, foot, percent};
use super::paint::{classes, swatch};
use super::picture::{Category, NARROWEST, Picture, heading, name, readable};
use crate::cell::Cell;
use crate::chart::Series;
use crate::figures::{NOTHING, WITHHELD, cut, grouped};
use crate::table::{Column, Table};

/// How high a row is, with its name above its bar.
const ROW: u32 = 34;
/// How much of a name is shown, in letters of usual width.
const NAME: usize = 38;

/// A part of a bar, or a whole one.
#[derive(Clone, Copy, Default)]
struct Part {
    count: Option<u128>,
    /// Whether there are figures besides that are not shown.
    withheld: bool,
}

impl Part {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Count(count) => Self {
                count: Some((*count).into()),
                withheld: false,
            },
            cell => Self {
                count: None,
                withheld: *cell == Cell::Withheld,
            },
        }
    }

    fn and(self, other: Self) -> Self {
        let counts = [self.count, other.count].into_iter().flatten();
        Self {
            count: counts.reduce(|one, other| one + other),
            withheld: self.withheld || other.withheld,
        }
    }

    fn says(self) -> String {
        match (self.count, self.withheld) {
            (Some(count), false) => grouped(count),
            (Some(count), true) => format!("{} + {WITHHELD}", grouped(count)),
            (None, true) => WITHHELD.to_owned(),
            (None, false) => NOTHING.to_owned(),
        }
    }
}

/// The parts of a bar, in the order of the series.
struct Bar(Vec<Part>);

impl Bar {
    fn whole(&self) -> Part {
        self.0.iter().copied().fold(Part::default(), Part::and)
    }

    fn length(&self) -> u128 {
        self.whole().count.unwrap_or(0)
    }

    fn together(bars: &[Category<Self>]) -> Self {
        let series = bars.first().map_or(0, |bar| bar.of.0.len());
        let part = |index: usize| {
            let parts = bars.iter().map(|bar| bar.of.0[index]);
            parts.fold(Part::default(), Part::and)
        };
        Self((0..series).map(part).collect())
    }
}

pub(super) fn stacked(table: &Table, category: &str, series: &[Series]) -> Picture {
    let at = |key: &str| table.position(key).unwrap_or_default();
    let along = at(category);
    let drawn: Vec<usize> = series.iter().map(|series| at(&series.column)).collect();
    let columns: Vec<&Column> = drawn.iter().map(|&index| &table.columns[index]).collect();
    let bars = table.rows.iter().map(|row| Category {
        name: name(&row[along]),
        of: Bar(drawn.iter().map(|&index| Part::of(&row[index])).collect()),
    });
    let (bars, fewer) = readable(bars.collect(), Bar::length, Bar::together);
    let axis = Axis::up_to(bars.iter().map(|bar| bar.of.length()).max().unwrap_or(0));
    let classes = classes(series);
    let end = ROW * u32::try_from(bars.len()).unwrap_or(0);
    let unit = columns.first().map_or("", |column| column.unit.as_str());
    let (grid, ticks) = foot(&counts(axis), end, unit);
    let mut caption: Vec<String> = fewer.into_iter().collect();
    if bars.iter().any(|bar| bar.of.whole().withheld) {
        caption.push("Figures that are withheld are not drawn.".to_owned());
    }
    let names: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    Picture {
        drawing: html! {
            (grid)
            @for (index, bar) in (0..).zip(&bars) { (row(index, bar, axis, &classes, &names)) }
            (ticks)
        },
        height: end + FOOT,
        description: format!(
            "{} horizontal bars, one for each {}. The parts of a bar, from the left: {}.",
            bars.len(),
            table.columns[along].title,
            names.join(", ")
        ),
        legend: classes
            .iter()
            .map(|class| swatch(class))
            .zip(names.into_iter().map(str::to_owned))
            .collect(),
        caption,
    }
}

fn row(index: u32, bar: &Category<Bar>, axis: Axis, classes: &[String], names: &[&str]) -> Markup {
    let y = index * ROW;
    let mut before = 0;
    let parts = bar.of.0.iter().zip(classes).map(|(part, class)| {
        let (from, count) = (before, part.count.unwrap_or(0));
        before += count;
        (count, axis.place(from), class)
    });
    html! {
        g {
            title { (in_words(bar, names)) }
            (heading(y, &cut(&bar.name, NAME), &bar.of.whole().says()))
            @for (count, from, class) in parts {
                @if count > 0 { (part(y + 16, count, from, axis.place(count), class)) }
            }
        }
    }
}

fn in_words(bar: &Category<Bar>, names: &[&str]) -> String {
    let parts = names.iter().zip(&bar.of.0);
    let parts = parts.map(|(name, part)| format!("{} {}", shown(name), part.says()));
    format!("{}: {}", bar.name, parts.collect::<Vec<_>>().join(", "))
}

fn part(y: u32, count: u128, from: f64, length: f64, class: &str) -> Markup {
    let says = grouped(count);
    let fits = length * NARROWEST > 6.0 * says.chars().count() as f64 + 6.0;
    html! {
        rect class={ "part fill-" (class) } x=(percent(from)) y=(y) width=(percent(length)) height="12" {}
        @if fits {
            text class={ "count on-" (class) } x=(percent(from + length / 2.0)) y=(y + 10) { (says) }
        }
    }
}
