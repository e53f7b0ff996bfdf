//! What can be set from outside?

use std::net::SocketAddr;

use clap::Parser;
use mesh_service::{DatabaseSettings, ProcessSettings, service_address};

/// Reporting: outcomes in, performance and obligation reports out.
#[derive(Debug, Clone, Parser)]
#[command(name = "reporting", version)]
pub struct Config {
    /// What every service of the mesh needs.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The database, and whether it may be made.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Where the service registration listens: `host:port`.
    #[arg(long, env = "MP169_REGISTRATION", value_parser = service_address)]
    pub registration: String,
    /// Where the service flag-registry listens: `host:port`.
    #[arg(long, env = "MP169_FLAG_REGISTRY", value_parser = service_address)]
    pub flag_registry: String,
    /// For how many days producers may be late with outcomes: so long after its end, and after the first outcome
    /// that is in no closed report of it, a month is closed or restated.
    #[arg(long, env = "MP169_CLOSING_GRACE_DAYS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=366))]
    pub closing_grace_days: u16,
    /// Where browsers find the reports as pages: `address:port`. Over the same TLS as calls, and with the
    /// certificate of whoever asks: see docs/for-an-analyst.md. Not served if not given.
    #[arg(long, env = "MP169_WEB")]
    pub web: Option<SocketAddr>,
}
