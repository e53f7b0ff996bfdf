//! How does a chart stand on a page: what is above it, and what is below?

use maud::{Markup, html};
use mesh_types::text::shown;

use super::picture::Picture;
use super::{bars, dots, lines, outside};
use crate::chart::{Chart, Form};
use crate::report::Section;

/// A chart with its title, legend and caption.
pub(super) fn figure(number: usize, section: &Section, chart: &Chart) -> Markup {
    let table = &section.table;
    let picture = match &chart.form {
        Form::StackedBars(series) => bars::stacked(table, &chart.along, series),
        Form::Shares {
            rate,
            with_exceptions,
        } => dots::shares(table, &chart.along, rate, with_exceptions.as_deref()),
        Form::OverTime(series) => lines::over_time(table, &chart.along, series),
    };
    html! {
        figure {
            p.title { b { "Figure " (number) } " " (outside(&chart.title)) }
            ul.legend {
                @for (sample, name) in &picture.legend { li { (sample) (outside(name)) } }
            }
            (drawing(section, chart, &picture))
            figcaption {
                @for sentence in &picture.caption { (outside(sentence)) " " }
                "The figures are those of Table " (number) "."
            }
        }
    }
}

/// Lengths along the figure are percentages, those across it pixels: so it is as wide as there is room, and its
/// letters stay as large as those of the text.
fn drawing(section: &Section, chart: &Chart, picture: &Picture) -> Markup {
    let (title, desc) = (
        format!("{}-title", section.key),
        format!("{}-desc", section.key),
    );
    html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" width="100%" height=(picture.height) role="img"
            aria-labelledby={ (title) " " (desc) } {
            title id=(title) { (shown(&chart.title)) }
            desc id=(desc) { (shown(&picture.description)) }
            (picture.drawing)
        }
    }
}
