//! What can be asked of `mp169 classify`.

use std::path::PathBuf;

use clap::Args;

use super::connection::Output;

/// `classify`
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The files, one message each.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Where to ask; as the DSP unless said otherwise.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Whose certificate to show.
    #[arg(
        long = "as",
        value_name = "IDENTITY",
        env = "MP169_AS",
        default_value = "dsp"
    )]
    pub identity: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}
