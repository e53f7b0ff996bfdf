//! When is a month closed, and what does its closed report say for good?
//!
//! Each closing makes an edition of the month's figures: 0 is the closed report, and 1, 2 … restate it with what
//! was recorded later. An edition never changes. Its content is a text that says all its figures; whoever has
//! the text can check its hash with `sha256sum`.

mod content;
mod due;

use std::ops::Range;

use mesh_types::{Position, Timestamp};

use crate::period::Period;

pub use content::{Content, ContentRow, Digest};
pub use due::{Counted, Due, Grace, Made, due};

/// The version of the rules by which requests are counted and excepted, and of the text of an edition. Raise
/// it with each change that gives other figures or another text.
pub const RULES_VERSION: &str = "1";

/// A closed report, or one that restates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// Its number among the editions of all months, from 1 on.
    pub number: u64,
    /// The month.
    pub period: Period,
    /// 0 is the closed report, n its restatement n.
    pub restatement: u32,
    /// The number of the month's edition before it; 0 for the closed report.
    pub previous: u64,
    /// When it was begun: what was recorded before it is in it.
    pub begun: Timestamp,
    /// Whether an operator asked for it. Others are made by themselves.
    pub by_operator: bool,
    /// The position in the log `flags` that was applied by then.
    pub flags: Option<Position>,
    /// The position in the log `devices` that was applied by then.
    pub devices: Option<Position>,
    /// How many outcomes of all months were recorded by then.
    pub outcomes: u64,
    /// Every flag event before this instant had been applied.
    pub settled_until: Timestamp,
    /// What its content is, once it is made.
    pub sealed: Seal,
}

/// What is known of an edition's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seal {
    /// The hash of the content, in hexadecimal.
    pub sha256: String,
    /// The version of the program that made it.
    pub program: String,
    /// The version of the rules.
    pub rules: String,
    /// The version of the table of business processes.
    pub business_processes: String,
}

/// Which figures of a month are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The last edition; while there is none, everything that is recorded.
    #[default]
    Latest,
    /// One edition: 0 is the closed report.
    Restatement(u32),
    /// What a restatement added to the edition before it.
    AddedBy(u32),
    /// Everything that is recorded, also of a closed month.
    Now,
}

/// The layers of counts that figures are made of. An edition is made of those before its number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Layers {
    /// All that is recorded, and what is not settled yet.
    #[default]
    All,
    /// Those of an edition, or of what it added.
    Of(Range<u64>),
}

impl Edition {
    /// Whether its content was read and its hash is known.
    #[must_use]
    pub fn is_made(&self) -> bool {
        !self.sealed.sha256.is_empty()
    }

    /// The layers that it is made of.
    #[must_use]
    pub const fn layers(&self) -> Layers {
        Layers::Of(0..self.number)
    }

    /// The layers that it has and the edition before it had not.
    #[must_use]
    pub const fn added(&self) -> Layers {
        Layers::Of(self.previous..self.number)
    }
}
