//! What can be set from outside?

use clap::Parser;
use mesh_service::{DatabaseSettings, ProcessSettings, service_address};

use crate::quota::Quotas;

/// The flag registry: the flag of each Device, the choice behind it, and the log of every change.
#[derive(Debug, Clone, Parser)]
#[command(name = "flag-registry", version)]
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
    /// How much a supplier may repeat.
    #[command(flatten)]
    pub quotas: Quotas,
}
