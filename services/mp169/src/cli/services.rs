//! What can be asked of the commands that run the services: `demo` and `up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::server::ServerUrl;

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print one JSON object per step instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Show the services' log on standard error, from this level on (such as `info`).
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Keep the databases on this server: postgres://USER@HOST:PORT, or with /PREFIX where several meshes share
    /// it. They are made there, and dropped at the end.
    #[arg(
        long,
        value_name = "URL",
        env = "MP169_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<ServerUrl>,
    /// Play it on the mesh of this folder, which runs and goes on afterwards, instead of one that is made for
    /// it. It adds parties and a small town of its own, sets flags there, and changes nothing else.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "MP169_DEMO_HOME",
        conflicts_with = "database"
    )]
    pub home: Option<PathBuf>,
}

/// `up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Folder of certificates, databases and addresses; made if missing.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Keep the databases on this server, one for each service: postgres://USER@HOST:PORT, or with /PREFIX where
    /// several meshes share it, and ?sslmode=verify-full for TLS. The folder remembers where they are.
    #[arg(
        long,
        value_name = "URL",
        env = "MP169_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<ServerUrl>,
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
    /// Serve the reports as pages for browsers, to whoever has a certificate.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:16174",
        conflicts_with = "web_without_certificate"
    )]
    pub web: Option<SocketAddr>,
    /// The same without certificates, on this machine alone: every process and every user of it then
    /// reads the reports as the analyst, Devices that are flagged included. The address has to be a
    /// loopback one.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:16174",
        value_parser = loopback
    )]
    pub web_without_certificate: Option<SocketAddr>,
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
    /// How logs look, which traces are kept, and how metrics are fetched and sent.
    #[command(flatten)]
    pub telemetry: mesh_service::TelemetryDetails,
    /// How much a supplier may repeat.
    #[command(flatten)]
    pub quotas: flag_registry::Quotas,
}

/// An address that is reached from this machine alone. Judged before anything is made.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "it has to be address:port".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(
            "it is no loopback address: anybody who reaches it would read the reports as the analyst"
                .to_owned(),
        )
    }
}
