//! Which rows does the Service Request report have, by what its figures are grouped by?
//!
//! A month has few figures, one for each supplier and variant. Every report is made of them here: what
//! is filtered, grouped and cut into pages is never counted anew.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use mesh_types::PartyId;

use crate::business_process::{BusinessProcesses, ProcessKey};
use crate::figures::Figures;
use crate::outcome::Variant;

/// The figures of each supplier and variant.
pub type FinestFigures = BTreeMap<(PartyId, Variant), Figures>;

/// What figures can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The supplier.
    Supplier,
    /// The Service Request Variant.
    Variant,
    /// The business process that the variant belongs to.
    BusinessProcess,
}

/// One or more dimensions, none of them twice, in the order in which rows are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping(Vec<Dimension>);

/// What a row is about in one dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The supplier.
    Supplier(PartyId),
    /// The Service Request Variant.
    Variant(Variant),
    /// The business process.
    BusinessProcess(ProcessKey),
}

/// What a row is about: a part for each dimension, in their order. Rows are sorted by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey(pub Vec<Part>);

/// A whole report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its rows.
    pub rows: BTreeMap<RowKey, Figures>,
    /// The sums of all of them.
    pub totals: Figures,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Supplier, Self::Variant, Self::BusinessProcess];
}

impl Default for Grouping {
    /// By supplier and then variant.
    fn default() -> Self {
        Self(vec![Dimension::Supplier, Dimension::Variant])
    }
}

impl Grouping {
    /// By `dimensions`; the default if there is none, and `None` if one is there twice.
    #[must_use]
    pub fn of(dimensions: Vec<Dimension>) -> Option<Self> {
        let twice = |(at, dimension)| dimensions[..at].contains(dimension);
        if dimensions.iter().enumerate().any(twice) {
            return None;
        }
        if dimensions.is_empty() {
            return Some(Self::default());
        }
        Some(Self(dimensions))
    }

    /// The dimensions, in their order.
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.0
    }

    /// The report that `finest` makes, of the variants of one process or of all.
    #[must_use]
    pub fn report(
        &self,
        finest: &FinestFigures,
        processes: &BusinessProcesses,
        only: Option<&ProcessKey>,
    ) -> Report {
        let mut report = Report {
            rows: BTreeMap::new(),
            totals: Figures::default(),
        };
        for ((party, variant), figures) in finest {
            let process = processes.of(variant);
            if only.is_some_and(|only| only != process) {
                continue;
            }
            let parts = self.0.iter().map(|dimension| match dimension {
                Dimension::Supplier => Part::Supplier(party.clone()),
                Dimension::Variant => Part::Variant(variant.clone()),
                Dimension::BusinessProcess => Part::BusinessProcess(process.clone()),
            });
            *report.rows.entry(RowKey(parts.collect())).or_default() += *figures;
            report.totals += *figures;
        }
        report
    }
}

impl Report {
    /// At most `size` rows after `after`, and whether more follow.
    #[must_use]
    pub fn page(&self, after: Option<&RowKey>, size: usize) -> (Vec<(&RowKey, &Figures)>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.rows.range((from, Bound::Unbounded));
        let rows = rest.by_ref().take(size).collect();
        (rows, rest.next().is_some())
    }
}
