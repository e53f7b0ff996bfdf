//! How does a report look as a page that needs nothing else?
//!
//! The page has no script and loads nothing, and its policy forbids both; its one style is named there by its
//! hash. Its bytes are a pure function of the report. In a frame it is a page among others, which a server
//! sends with a policy of its own.

mod axis;
mod bars;
mod dots;
mod figure;
mod lines;
mod paint;
mod picture;
mod table;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use mesh_types::text::shown;
use sha2::{Digest as _, Sha256};

use crate::report::{Fact, Report, Section};

const STYLE: &str = include_str!("as_html/page.css");

/// The report as one self-contained HTML page: for screens of any width, light or dark, and for A4.
#[must_use]
pub fn html(report: &Report) -> String {
    let policy = format!(
        "default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'",
        source(STYLE)
    );
    let policy = html! { meta http-equiv="Content-Security-Policy" content=(policy); };
    page(&report.title, &policy, &[STYLE], &whole(report))
}

/// What stands around a report where it is a page among others.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What the browser calls the page.
    pub title: String,
    /// The rules that the frame needs besides those of reports.
    pub style: &'static str,
    /// What stands before the report.
    pub before: Markup,
    /// What stands behind it.
    pub after: Markup,
}

/// The report as a page in a frame, or the frame alone. Who serves it sends its policy, in which
/// [`style_sources`] stand, as a header.
#[must_use]
pub fn framed(report: Option<&Report>, frame: &Frame) -> String {
    let body = html! {
        (frame.before)
        @if let Some(report) = report { (whole(report)) }
        (frame.after)
    };
    page(&frame.title, &html! {}, &[STYLE, frame.style], &body)
}

/// The styles of a page in a frame with this style, as a Content Security Policy names them.
#[must_use]
pub fn style_sources(style: &str) -> String {
    format!("{} {}", source(STYLE), source(style))
}

fn page(title: &str, policy: &Markup, styles: &[&str], body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en-GB" {
            head {
                meta charset="utf-8";
                (policy)
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(title)) }
                @for style in styles { style { (PreEscaped(style)) } }
            }
            body { (body) }
        }
    };
    in_lines(page.into_string())
}

fn whole(report: &Report) -> Markup {
    html! {
        (paint::patterns())
        (masthead(report))
        main {
            @for (index, section) in report.sections.iter().enumerate() {
                (numbered(index + 1, section))
            }
            @if !report.notes.is_empty() { (notes(&report.notes)) }
        }
    }
}

/// What begins a line, so that people can read and compare pages as text. Texts from outside have no `<`.
const LINES: [&str; 15] = [
    "<head>",
    "<meta ",
    "<style>",
    "<body>",
    "<header>",
    "<div",
    "<main>",
    "<section",
    "<figure>",
    "<svg class=\"chart\"",
    "<g>",
    "<thead>",
    "<tr>",
    "<li>",
    "</html>",
];

fn in_lines(page: String) -> String {
    let page = LINES.iter().fold(page, |page, start| {
        page.replace(start, &format!("\n{start}"))
    });
    format!("{page}\n")
}

fn source(style: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(style));
    format!("'sha256-{hash}'")
}

fn masthead(report: &Report) -> Markup {
    html! {
        header {
            h1 { (outside(&report.title)) }
            @if !report.period.is_empty() { p.period { (outside(&report.period)) } }
            @if !report.facts.is_empty() { (facts(&report.facts)) }
            @if report.sections.len() > 1 { (contents(&report.sections)) }
        }
    }
}

fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl.facts {
            @for fact in facts {
                div {
                    dt { (outside(&fact.label)) }
                    dd { (outside(&fact.value)) }
                }
            }
        }
    }
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ol {
                @for section in sections {
                    li { a href={ "#" (section.key) } { (outside(&section.title)) } }
                }
            }
        }
    }
}

fn numbered(number: usize, section: &Section) -> Markup {
    html! {
        section id=(section.key) aria-labelledby={ (section.key) "-heading" } {
            div.lead {
                h2 id={ (section.key) "-heading" } {
                    span.number { (number) } " " (outside(&section.title))
                }
                @if !section.explanation.is_empty() { p.explanation { (outside(&section.explanation)) } }
                @if let Some(chart) = &section.chart {
                    (figure::figure(number, section, chart))
                }
            }
            (table::table(number, section))
        }
    }
}

fn notes(notes: &[String]) -> Markup {
    html! {
        section.notes aria-labelledby="report-notes" {
            h2 id="report-notes" { "Notes" }
            ul { @for note in notes { li { (outside(note)) } } }
        }
    }
}

/// Text that may come from outside: all of it can be seen, and it does not turn what stands around it.
fn outside(text: &str) -> Markup {
    html! { bdi { (shown(text)) } }
}
