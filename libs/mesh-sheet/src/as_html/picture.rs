//! What does a form of chart give to the figure that shows it?

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::axis::percent;
use crate::cell::Cell;
use crate::figures::line;

/// A chart without what stands around it.
pub(super) struct Picture {
    /// Samples of what is drawn, and what they stand for.
    pub(super) legend: Vec<(Markup, String)>,
    /// What is in the `svg` element.
    pub(super) drawing: Markup,
    /// How high it is, in pixels.
    pub(super) height: u32,
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    /// Sentences that a reader must know.
    pub(super) caption: Vec<String>,
}

/// The most rows that a chart shows one by one.
const MOST: usize = 25;

/// A row of a chart.
pub(super) struct Category<T> {
    pub(super) name: String,
    pub(super) of: T,
}

/// As many categories as can be read: where there are more than that, the largest, and the rest as one. The
/// sentence says so.
pub(super) fn readable<T>(
    mut all: Vec<Category<T>>,
    size: impl Fn(&T) -> u128,
    together: impl Fn(&[Category<T>]) -> T,
) -> (Vec<Category<T>>, Option<String>) {
    if all.len() <= MOST {
        return (all, None);
    }
    let count = all.len();
    all.sort_by_key(|category| std::cmp::Reverse(size(&category.of)));
    let others = all.split_off(MOST - 1);
    all.push(Category {
        name: format!("{} others", others.len()),
        of: together(&others),
    });
    let says = format!(
        "Of {count} rows the {} largest are drawn, and the others together as one.",
        MOST - 1
    );
    (all, Some(says))
}

/// What a row is called; a day where an instant begins one.
pub(super) fn name(cell: &Cell) -> String {
    match cell {
        Cell::Instant(at) => {
            let at = at.to_zoned(TimeZone::UTC);
            if at.time() == jiff::civil::Time::midnight() {
                at.date().to_string()
            } else {
                line(cell)
            }
        }
        _ => line(cell),
    }
}

/// The narrowest that a chart is drawn, in pixels.
pub(super) const NARROWEST: f64 = 320.0;

/// The line above a row: its name, and at the other end what it comes to. However wide the letters of the
/// name are, it ends where that begins.
pub(super) fn heading(y: u32, name: &str, says: &str) -> Markup {
    let taken = (7.8 * says.chars().count() as f64 + 12.0) / NARROWEST;
    html! {
        svg x="0" y=(y) width=(percent(1.0 - taken.min(0.8))) height="16" {
            text x="0" y="12" { tspan.name { (name) } }
        }
        text.value x="100%" y=(y + 12) { (says) }
    }
}
