//! A report as data, and how it looks as a terminal table, CSV, JSON and one self-contained HTML page.
//!
//! The crate knows nothing of what a report is about. A [`Report`] is checked when it is put together: every
//! row has a cell for every column, and a chart names columns of the table that stands under it. So each of
//! [`text`], [`csv`], [`json`] and [`html`] is a pure function that cannot fail, and all show the same figures.
//!
//! Titles, names and notes may come from outside. Whatever of them cannot be seen is shown as
//! [`mesh_types::text::shown`] shows it, but for [`json`], whose strings are the texts themselves.

mod as_csv;
mod as_html;
mod as_json;
mod as_text;
mod cell;
mod chart;
mod figures;
mod kind;
mod malformed;
mod report;
mod table;

pub use as_csv::csv;
pub use as_html::{Frame, framed, html, style_sources};
pub use as_json::json;
pub use as_text::text;
pub use cell::{Cell, Share};
pub use chart::{Chart, Series};
pub use kind::Kind;
pub use malformed::Malformed;
pub use report::{Report, Section};
pub use table::{Column, Table};
