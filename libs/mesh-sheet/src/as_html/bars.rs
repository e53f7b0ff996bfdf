//! How do bars of counts that add up look?

use maud::{Markup, html};

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

/// The counts of a row: those of its series that there are, and whether others are withheld.
struct Bar {
    parts: Vec<Option<u128>>,
    withheld: bool,
}

impl Bar {
    fn sum(&self) -> u128 {
        self.parts.iter().flatten().sum()
    }

    /// The whole bar in digits.
    fn says(&self) -> String {
        match (self.parts.iter().any(Option::is_some), self.withheld) {
            (true, false) => grouped(self.sum()),
            (true, true) => format!("{} + withheld", grouped(self.sum())),
            (false, true) => WITHHELD.to_owned(),
            (false, false) => NOTHING.to_owned(),
        }
    }

    fn together(bars: &[Category<Self>]) -> Self {
        let series = bars.first().map_or(0, |bar| bar.of.parts.len());
        let part = |index: usize| {
            let parts = bars.iter().filter_map(|bar| bar.of.parts[index]);
            parts.reduce(|one, other| one + other)
        };
        Self {
            parts: (0..series).map(part).collect(),
            withheld: bars.iter().any(|bar| bar.of.withheld),
        }
    }
}

pub(super) fn stacked(table: &Table, category: &str, series: &[Series]) -> Picture {
    let at = |key: &str| table.position(key).unwrap_or_default();
    let along = at(category);
    let drawn: Vec<usize> = series.iter().map(|series| at(&series.column)).collect();
    let columns: Vec<&Column> = drawn.iter().map(|&index| &table.columns[index]).collect();
    let bars = table.rows.iter().map(|row| Category {
        name: name(&row[along]),
        of: bar(drawn.iter().map(|&index| &row[index])),
    });
    let (bars, fewer) = readable(bars.collect(), Bar::sum, Bar::together);
    let axis = Axis::up_to(bars.iter().map(|bar| bar.of.sum()).max().unwrap_or(0));
    let classes = classes(series);
    let end = ROW * u32::try_from(bars.len()).unwrap_or(0);
    let unit = columns.first().map_or("", |column| column.unit.as_str());
    let (grid, ticks) = foot(&counts(axis), end, unit);
    let mut caption: Vec<String> = fewer.into_iter().collect();
    if bars.iter().any(|bar| bar.of.withheld) {
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

fn bar<'a>(cells: impl Iterator<Item = &'a Cell>) -> Bar {
    let mut withheld = false;
    let parts = cells.map(|cell| match cell {
        Cell::Count(count) => Some(u128::from(*count)),
        Cell::Withheld => {
            withheld = true;
            None
        }
        _ => None,
    });
    let parts = parts.collect();
    Bar { parts, withheld }
}

fn row(index: u32, bar: &Category<Bar>, axis: Axis, classes: &[String], names: &[&str]) -> Markup {
    let y = index * ROW;
    let mut before = 0;
    let parts = bar.of.parts.iter().zip(classes).map(|(part, class)| {
        let from = before;
        before += part.unwrap_or(0);
        (part.unwrap_or(0), axis.place(from), class)
    });
    html! {
        g {
            title { (in_words(bar, names)) }
            (heading(y, &cut(&bar.name, NAME), &bar.of.says()))
            @for (count, from, class) in parts {
                @if count > 0 { (part(y + 16, count, from, axis.place(count), class)) }
            }
        }
    }
}

fn in_words(bar: &Category<Bar>, names: &[&str]) -> String {
    let parts = names.iter().zip(&bar.of.parts);
    let parts = parts.map(|(name, part)| match part {
        Some(count) => format!("{} {}", mesh_types::text::shown(name), grouped(*count)),
        None => format!("{} {NOTHING}", mesh_types::text::shown(name)),
    });
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
