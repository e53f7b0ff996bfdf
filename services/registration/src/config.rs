//! What can be set from outside?

use clap::Parser;
use mesh_service::ProcessSettings;

/// Registration: parties, Devices, and who is the Responsible Supplier of a Device at a time.
#[derive(Debug, Clone, Parser)]
#[command(name = "registration", version)]
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
}
