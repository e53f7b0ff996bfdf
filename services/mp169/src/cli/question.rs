//! What every read can be told: as of when, where to ask, and how much of a list to show.

use clap::Args;

use super::as_of::AsOfArgs;
use super::connection::{Connection, Limit};

/// A question about one thing.
#[derive(Debug, Args)]
pub struct Question {
    /// As of when.
    #[command(flatten)]
    pub known: AsOfArgs,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}

/// A question for a list.
#[derive(Debug, Args)]
pub struct Listing {
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// As of when.
    #[command(flatten)]
    pub known: AsOfArgs,
    /// Where to ask.
    #[command(flatten)]
    pub connection: Connection,
}
