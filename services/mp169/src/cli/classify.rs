//! What can be asked of `mp169 classify`.

use std::path::PathBuf;

use clap::Args;

use super::connection::Connection;

/// `classify`
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The files, one message each; `-` is standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Where to ask; usually as the DSP.
    #[command(flatten)]
    pub connection: Connection,
}
