//! What can stand in a cell?

use std::time::Duration;

use jiff::Timestamp;

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text, perhaps from outside.
    Text(String),
    /// How many.
    Count(u64),
    /// What part of a whole.
    Share(Share),
    /// How long; programs read seconds.
    Duration(Duration),
    /// When (RFC 3339).
    Instant(Timestamp),
    /// There is a figure, which the reader may not see. Whether the other figures of the table betray it is for
    /// whoever puts the table together to rule out.
    Withheld,
    /// There is no figure.
    Nothing,
}

/// What part of a whole. The two counts belong into columns of their own, where a reader is to see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many of the whole.
    pub numerator: u64,
    /// How many the whole has; if 0, there is no share.
    pub denominator: u64,
}

impl Cell {
    /// A cell of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A cell of a share.
    #[must_use]
    pub fn share(numerator: u64, denominator: u64) -> Self {
        Self::Share(Share {
            numerator,
            denominator,
        })
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Duration> for Cell {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Self::Instant(at)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or(Self::Nothing, Into::into)
    }
}
