//! What does a column hold?

use crate::cell::Cell;

/// What a column holds. Each also holds [`Cell::Withheld`] and [`Cell::Nothing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Cell::Text`].
    Text,
    /// [`Cell::Count`].
    Count,
    /// [`Cell::Share`].
    Share,
    /// [`Cell::Duration`].
    Duration,
    /// [`Cell::Instant`].
    Instant,
}

impl Kind {
    /// Whether such a column may hold `cell`.
    pub(crate) fn takes(self, cell: &Cell) -> bool {
        match cell {
            Cell::Text(_) => self == Self::Text,
            Cell::Count(_) => self == Self::Count,
            Cell::Share(_) => self == Self::Share,
            Cell::Duration(_) => self == Self::Duration,
            Cell::Instant(_) => self == Self::Instant,
            Cell::Withheld | Cell::Nothing => true,
        }
    }

    /// Whether people compare what stands in such a column from row to row.
    pub(crate) fn is_figure(self) -> bool {
        matches!(self, Self::Count | Self::Share | Self::Duration)
    }
}
