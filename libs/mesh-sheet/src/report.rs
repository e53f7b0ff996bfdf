//! What is a report? Sections, what they rest on, and what is to be said about them.

use crate::chart::Chart;
use crate::malformed::Malformed;
use crate::table::{Table, keys};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(crate) title: String,
    pub(crate) period: String,
    pub(crate) facts: Vec<Fact>,
    pub(crate) notes: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// Something that the report rests on: a version, a position, a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// What it is.
    pub(crate) label: String,
    /// Which one it is.
    pub(crate) value: String,
}

/// A table, what it shows, and perhaps a chart of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) explanation: String,
    pub(crate) chart: Option<Chart>,
    pub(crate) table: Table,
}

impl Report {
    /// A report without sections. `period` says of which time it is, or is another subtitle.
    #[must_use]
    pub fn new(title: impl Into<String>, period: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            period: period.into(),
            facts: Vec::new(),
            notes: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Adds what the report rests on.
    #[must_use]
    pub fn with_fact(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push(Fact {
            label: label.into(),
            value: value.into(),
        });
        self
    }

    /// Adds a sentence, or a few, that a reader should know.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a section.
    ///
    /// # Errors
    /// The key is no key, or that of another section.
    pub fn with_section(mut self, section: Section) -> Result<Self, Malformed> {
        self.sections.push(section);
        keys(self.sections.iter().map(Section::key))?;
        Ok(self)
    }

    /// The sections, in their order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section with this key.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.key == key)
    }
}

impl Section {
    /// A section without a chart, with one sentence that says what it shows.
    #[must_use]
    pub fn new(
        key: impl Into<String>,
        title: impl Into<String>,
        explanation: impl Into<String>,
        table: Table,
    ) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            explanation: explanation.into(),
            chart: None,
            table,
        }
    }

    /// The section with a chart of its table.
    ///
    /// # Errors
    /// The table lacks a column that the chart names, or it cannot be drawn so.
    pub fn with_chart(mut self, chart: Chart) -> Result<Self, Malformed> {
        chart.check(&self.table)?;
        self.chart = Some(chart);
        Ok(self)
    }

    /// By which programs know the section.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// By which people know it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }
}
