//! What every client's command can be told: which mesh, as whom, and how to show the answer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which mesh to talk to, as whom, and how to show the answer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection<O = Output>
where
    O: ValueEnum + Send + Sync + 'static,
{
    /// Folder of the mesh that `mp169 up` runs, or one that `mp169 party certificate` wrote.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show: a party such as ALBION, or an internal role such as operator. Need
    /// not be said if the folder holds one only, or if the command has a usual one.
    #[arg(long = "as", value_name = "IDENTITY", env = "MP169_AS")]
    pub identity: Option<String>,
    /// How to show the answer.
    #[arg(long, value_enum, default_value = "table")]
    pub output: O,
}

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One line of JSON per answer: the response message as protobuf has it in JSON.
    Json,
}

/// How much of a list to show.
#[derive(Debug, Clone, Copy, Args)]
pub struct Limit {
    /// At most this many; all of them if not said.
    #[arg(long = "limit", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub most: Option<u32>,
}
