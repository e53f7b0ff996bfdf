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
}
