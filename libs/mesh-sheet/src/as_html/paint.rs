//! How do series differ, with and without colours?
//!
//! Each series has a fill, a kind of line and a marker of its own. What is excepted is hatched.

use maud::{Markup, html};

use crate::chart::Series;

/// The patterns of the page's fills. What they look like stands in the style.
pub(super) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                pattern id="fill-2" width="5" height="5" patternUnits="userSpaceOnUse" {
                    rect.ground-2 width="5" height="5" {}
                    circle.mark-2 cx="1.5" cy="1.5" r="0.9" {}
                }
                pattern id="fill-3" width="4" height="4" patternUnits="userSpaceOnUse" {
                    rect.ground-3 width="4" height="4" {}
                    path.mark-3 d="M1 0V4" {}
                }
                pattern id="fill-4" width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect.ground-4 width="6" height="6" {}
                    path.mark-4 d="M0 3H6M3 0V6" {}
                }
                pattern id="fill-excepted" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect.ground-excepted width="5" height="5" {}
                    path.mark-excepted d="M1 0V5" {}
                }
            }
        }
    }
}

/// The class of each series, of which `fill-…`, `line-…` and `point-…` are made.
pub(super) fn classes(series: &[Series]) -> Vec<String> {
    let mut counted = 0;
    let classes = series.iter().map(|series| {
        if series.excepted {
            return "excepted".to_owned();
        }
        counted += 1;
        counted.to_string()
    });
    classes.collect()
}

/// A sample of a fill.
pub(super) fn swatch(class: &str) -> Markup {
    html! {
        svg.sample width="22" height="12" aria-hidden="true" {
            rect class={ "fill-" (class) } x="0.5" y="0.5" width="21" height="11" {}
        }
    }
}

/// A sample of a line.
pub(super) fn stroke(class: &str) -> Markup {
    html! {
        svg.sample width="30" height="12" aria-hidden="true" {
            line class={ "line-" (class) } x1="0" y1="6" x2="30" y2="6" {}
            (marker(class, "15", 6.0))
        }
    }
}

/// A sample of a dot.
pub(super) fn dot(class: &str) -> Markup {
    html! {
        svg.sample width="14" height="12" aria-hidden="true" { (marker(class, "7", 6.0)) }
    }
}

/// A mark at a place, which stays as large as it is wherever that is.
pub(super) fn marker(class: &str, x: &str, y: f64) -> Markup {
    let shape = match class {
        "2" => "M-4-4H4V4H-4Z",
        "3" => "M0-5L5 4H-5Z",
        "4" => "M0-5L5 0L0 5L-5 0Z",
        // Circles: of radius 4, 4.5 and 4.5.
        "1" => "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
        _ => "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0-4.5 0Z",
    };
    html! {
        svg.mark x=(x) y=(y) width="1" height="1" {
            path class={ "point-" (class) } d=(shape) {}
        }
    }
}
