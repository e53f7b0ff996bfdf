//! What can be set from outside?

use clap::Parser;
use mesh_service::ProcessSettings;

use crate::quota::Quotas;

/// The flag registry: the flag of each Device, the choice behind it, and the log of every change.
#[derive(Debug, Clone, Parser)]
#[command(name = "flag-registry", version)]
pub struct Config {
    /// What every service of the mesh needs.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The database: `sqlite://PATH`. Made if it is not there.
    #[arg(long, env = "MP169_DATABASE_URL")]
    pub database_url: String,
    /// The database of the audit, which is the record of all calls. Beside the other, with `-audit`
    /// before its ending, if not given. Made if it is not there.
    #[arg(long, env = "MP169_AUDIT_DATABASE_URL")]
    pub audit_database_url: Option<String>,
    /// Where the service registration listens: `host:port`.
    #[arg(long, env = "MP169_REGISTRATION")]
    pub registration: String,
    /// How much a supplier may repeat.
    #[command(flatten)]
    pub quotas: Quotas,
}
