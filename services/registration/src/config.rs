//! What can be set from outside?

use clap::Parser;
use mesh_service::{DatabaseSettings, ProcessSettings};

/// Registration: parties, Devices, and who is the Responsible Supplier of a Device at a time.
#[derive(Debug, Clone, Parser)]
#[command(name = "registration", version)]
pub struct Config {
    /// What every service of the mesh needs.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The database, and whether it may be made.
    #[command(flatten)]
    pub database: DatabaseSettings,
}
