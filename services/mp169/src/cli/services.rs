//! What can be asked of the commands that run the services: `demo` and `up`.

use std::path::PathBuf;

use clap::Args;

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print one JSON object per step instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Show the services' log on standard error, from this level on (such as `info`).
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// `up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Folder of certificates, databases and addresses; made if missing.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Make databases that are missing, too, in a folder that was there before. One that was here and
    /// went missing is refused all the same.
    #[arg(long)]
    pub create: bool,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The first of five ports in a row; 0 takes any that are free.
    #[arg(long, default_value_t = 16_169)]
    pub port: u16,
    /// Load the sample inventory: three suppliers, about 1,000 Devices.
    #[arg(long)]
    pub sample: bool,
    /// Take this machine's clock for right at this start, though it is further ahead of the last one
    /// than is explained.
    #[arg(long, env = "MP169_ACCEPT_CLOCK")]
    pub accept_clock: bool,
    /// Which log lines to show on standard error, in the syntax of `RUST_LOG`.
    #[arg(long, default_value = "warn")]
    pub log: String,
    /// How much a supplier may repeat.
    #[command(flatten)]
    pub quotas: flag_registry::Quotas,
}
