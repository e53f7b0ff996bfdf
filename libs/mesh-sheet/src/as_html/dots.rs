//! How do two shares of each row look?

use maud::{Markup, html};
use mesh_types::text::shown;

use super::axis::{FOOT, Tick, foot, percent};
use super::paint::{dot, marker};
use super::picture::{Category, Picture, heading, name, readable};
use crate::cell::{Cell, Share};
use crate::figures::{NOTHING, WITHHELD, cut};
use crate::table::Table;

/// How high a row is, with its name above its line.
const ROW: u32 = 34;
/// How much of a name is shown, in letters of usual width.
const NAME: usize = 28;
/// What is left free at either end of a line, so that a dot there is whole.
const END: f64 = 0.02;

/// A share, if there is one to be drawn.
#[derive(Clone, Copy)]
enum Rate {
    Share(Share),
    Withheld,
    Nothing,
}

impl Rate {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Share(share) if share.denominator > 0 => Self::Share(*share),
            Cell::Withheld => Self::Withheld,
            _ => Self::Nothing,
        }
    }

    fn says(self) -> String {
        match self {
            Self::Share(share) => share.percent(),
            Self::Withheld => WITHHELD.to_owned(),
            Self::Nothing => NOTHING.to_owned(),
        }
    }

    fn ratio(self) -> Option<f64> {
        match self {
            Self::Share(share) => share.ratio().map(|ratio| ratio.min(1.0)),
            Self::Withheld | Self::Nothing => None,
        }
    }

    fn whole(self) -> u128 {
        match self {
            Self::Share(share) => share.denominator.into(),
            Self::Withheld | Self::Nothing => 0,
        }
    }

    /// The share of all that these are shares of.
    fn together(rates: impl Iterator<Item = Self>) -> Self {
        rates.fold(Self::Nothing, |sum, rate| match (sum, rate) {
            (Self::Share(one), Self::Share(other)) => Self::Share(Share {
                numerator: one.numerator.saturating_add(other.numerator),
                denominator: one.denominator.saturating_add(other.denominator),
            }),
            (Self::Withheld, _) | (_, Self::Withheld) => Self::Withheld,
            (sum, Self::Nothing) => sum,
            (Self::Nothing, rate) => rate,
        })
    }
}

pub(super) fn shares(table: &Table, category: &str, rate: &str, with: Option<&str>) -> Picture {
    let at = |key: &str| table.position(key).unwrap_or_default();
    let along = at(category);
    let drawn: Vec<usize> = [rate].into_iter().chain(with).map(at).collect();
    let rows = table.rows.iter().map(|row| Category {
        name: name(&row[along]),
        of: drawn
            .iter()
            .map(|&index| Rate::of(&row[index]))
            .collect::<Vec<_>>(),
    });
    let together = |rows: &[Category<Vec<Rate>>]| {
        let rate = |index: usize| Rate::together(rows.iter().map(|row| row.of[index]));
        (0..drawn.len()).map(rate).collect()
    };
    let (rows, fewer) = readable(rows.collect(), |rates| rates[0].whole(), together);
    let start = start(rows.iter().flat_map(|row| &row.of));
    let end = ROW * u32::try_from(rows.len()).unwrap_or(0);
    let (grid, ticks) = foot(&ticks(start), end, &table.columns[drawn[0]].unit);
    let mut caption: Vec<String> = fewer.into_iter().collect();
    if start > 0 {
        caption.push(format!("The axis begins at {start}%."));
    }
    let names: Vec<&str> = drawn
        .iter()
        .map(|&index| table.columns[index].title.as_str())
        .collect();
    Picture {
        drawing: html! {
            (grid)
            @for (index, row) in (0..).zip(&rows) { (line(index * ROW, row, start, &names)) }
            (ticks)
        },
        height: end + FOOT,
        description: format!(
            "{} lines of dots, one for each {}. The dots: {}.",
            rows.len(),
            table.columns[along].title,
            names.join(", ")
        ),
        legend: classes(drawn.len())
            .iter()
            .map(|class| dot(class))
            .zip(names.into_iter().map(str::to_owned))
            .collect(),
        caption,
    }
}

/// A hollow dot and a full one.
const CLASSES: [&str; 2] = ["hollow", "full"];

/// The last is full.
fn classes(rates: usize) -> &'static [&'static str] {
    &CLASSES[CLASSES.len().saturating_sub(rates)..]
}

/// Where the axis begins, in percent: dots show differences, which may be small.
fn start<'a>(rates: impl Iterator<Item = &'a Rate>) -> u8 {
    let least = rates.filter_map(|rate| rate.ratio()).fold(1.0, f64::min);
    [90_u8, 80, 50]
        .into_iter()
        .find(|start| least * 100.0 >= f64::from(*start))
        .unwrap_or(0)
}

fn ticks(start: u8) -> Vec<Tick> {
    let step = match start {
        0 => 25,
        50 => 10,
        80 => 5,
        _ => 2,
    };
    let ticks = (start..=100).step_by(step).map(|percent| Tick {
        place: place(f64::from(percent) / 100.0, start),
        says: format!("{percent}%"),
    });
    ticks.collect()
}

fn place(ratio: f64, start: u8) -> f64 {
    let start = f64::from(start) / 100.0;
    END + (ratio - start) / (1.0 - start) * (1.0 - 2.0 * END)
}

fn line(y: u32, row: &Category<Vec<Rate>>, start: u8, names: &[&str]) -> Markup {
    let places = row
        .of
        .iter()
        .map(|rate| rate.ratio().map(|ratio| place(ratio, start)));
    let places: Vec<Option<f64>> = places.collect();
    let says: Vec<String> = row.of.iter().map(|rate| rate.says()).collect();
    let middle = f64::from(y) + 22.0;
    html! {
        g {
            title { (in_words(&row.name, &says, names)) }
            (heading(y, &cut(&row.name, NAME), &together(&says)))
            line.track x1="0" y1=(middle) x2="100%" y2=(middle) {}
            @if let [Some(one), Some(other)] = places[..] {
                line.between x1=(percent(one)) y1=(middle) x2=(percent(other)) y2=(middle) {}
            }
            // The hollow one last, so that both are seen where they are one.
            @for (class, place) in classes(places.len()).iter().zip(&places).rev() {
                @if let Some(place) = place { (marker(class, &percent(*place), middle)) }
            }
        }
    }
}

/// From one rate to the other; once, where there is no figure to tell them apart.
fn together(says: &[String]) -> String {
    match says {
        [one, other] if one == other && !one.ends_with('%') => one.clone(),
        _ => says.join(" → "),
    }
}

fn in_words(name: &str, says: &[String], names: &[&str]) -> String {
    let rates = names.iter().zip(says);
    let rates = rates.map(|(name, says)| format!("{} {says}", shown(name)));
    format!("{name}: {}", rates.collect::<Vec<_>>().join(", "))
}
