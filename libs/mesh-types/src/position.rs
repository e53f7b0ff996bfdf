//! Where an event stands in a log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The number of an event in its log: 1 for the first, without holes, in commit order.
/// Zero stands for "before the first event".
pub type Sequence = u64;

/// Which history of a log a sequence counts in: drawn at random (never zero) when the log is made,
/// and anew when its database is restored, so that positions of another history are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Sixty-three random bits are an epoch unless they are all zero: both storage engines hold
    /// signed numbers.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value == 0 || value > i64::MAX.unsigned_abs() {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The name of a log: `parties`, `devices`, `flags`, or `csp/` and a CSP's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName(Arc<str>);

/// The text is not a log's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log is named by 1 to 64 of the characters a-z, 0-9, '-' and '/'")]
pub struct LogNameError;

impl LogName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogName {
    type Err = LogNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'/';
        if (1..=64).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(LogNameError)
        }
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in one history of one log.
///
/// Positions order only within one log and epoch, hence no `Ord`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log.
    pub log: LogName,
    /// The history of it.
    pub epoch: Epoch,
    /// The event, or zero for "before the first".
    pub sequence: Sequence,
}

impl Position {
    /// The place of another event in the same history of the log.
    #[must_use]
    pub fn at(&self, sequence: Sequence) -> Self {
        Self {
            sequence,
            ..self.clone()
        }
    }

    /// Whether `other` counts in the same history of the same log, so that the two can be compared.
    #[must_use]
    pub fn comparable(&self, other: &Self) -> bool {
        self.log == other.log && self.epoch == other.epoch
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.log, self.sequence)
    }
}
