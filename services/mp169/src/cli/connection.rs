//! What every client's command can be told: which mesh, as whom, and how to show the answer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which mesh to talk to, as whom, and how to show the answer.
#[derive(Debug, Args)]
pub struct Connection {
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show: a party such as ALBION, or an internal role such as operator.
    #[arg(long = "as", value_name = "IDENTITY", env = "MP169_AS")]
    pub identity: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One line of JSON per answer: the response message as protobuf has it in JSON.
    Json,
}
