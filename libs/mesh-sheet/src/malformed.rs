//! Why is a report no report?

use crate::kind::Kind;

/// A fault of whoever puts a report together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Programs name columns and sections by their keys.
    #[error(
        "the key {0:?} is not of lower-case letters, digits and underscores, beginning with a letter"
    )]
    Key(String),
    /// Two columns, or two sections, have the same key.
    #[error("the key {0:?} is there twice")]
    Twice(String),
    /// A table without columns.
    #[error("a table has a column at least")]
    NoColumns,
    /// A row has too few or too many cells.
    #[error("row {row} has {cells} cells and the table {columns} columns")]
    Cells {
        /// The row, from 0; the total comes after the last.
        row: usize,
        /// How many cells it has.
        cells: usize,
        /// How many it should have.
        columns: usize,
    },
    /// A cell does not hold what its column holds.
    #[error("row {row} has no {kind:?} in the column {column:?}")]
    Kind {
        /// The row, from 0; the total comes after the last.
        row: usize,
        /// The key of the column.
        column: String,
        /// What the column holds.
        kind: Kind,
    },
    /// A chart names a column that the table does not have.
    #[error("the chart names the column {0:?}, which the table does not have")]
    NoColumn(String),
    /// A chart names a column that it cannot draw.
    #[error("the chart cannot draw the column {column:?}, which holds {kind:?}")]
    Undrawable {
        /// The key of the column.
        column: String,
        /// What the column holds.
        kind: Kind,
    },
    /// A chart has no series, or more than can be told apart without colours.
    #[error("a chart has one to {most} series besides one that is excepted, and this has {series}")]
    Series {
        /// How many it has.
        series: usize,
        /// How many it may have.
        most: usize,
    },
    /// More than one series is marked as excepted.
    #[error("a chart has one excepted series at most")]
    ExceptedTwice,
}
