//! What can be set from outside?

use clap::Parser;
use mesh_service::{ProcessSettings, database_url, service_address};

/// Classification: decides for each message whether it is delivered or suppressed.
#[derive(Debug, Clone, Parser)]
#[command(name = "classification", version)]
pub struct Config {
    /// What every service of the mesh needs.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The database of the audit, which is the record of all calls: `sqlite://PATH`. It must be there,
    /// unless --create is given.
    #[arg(long, env = "MP169_AUDIT_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub audit_database_url: String,
    /// Make the database of the audit if there is none and there never was one.
    #[arg(long, env = "MP169_CREATE")]
    pub create: bool,
    /// Where the service registration listens: `host:port`.
    #[arg(long, env = "MP169_REGISTRATION", value_parser = service_address)]
    pub registration: String,
    /// Where the service flag-registry listens: `host:port`.
    #[arg(long, env = "MP169_FLAG_REGISTRY", value_parser = service_address)]
    pub flag_registry: String,
}
