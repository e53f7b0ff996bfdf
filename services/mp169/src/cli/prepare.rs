//! What can be asked of `mp169 prepare`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const PREPARE: &str = "For services that run as processes or containers of their own, each reached by its name. \
    The home gets the mesh's authority and all certificates, as `mp169 up` makes them, and the services' addresses: \
    the client's commands work with it. SERVICES/NAME gets the certificate, key and database URL of one service, TRUST \
    what all trust and the list of what is denied, SERVER the passwords, the certificate and the key of the \
    database server. Give each process its own folder and no other.\n\n\
    Given again, it leaves what is there and issues anew what ends soon or is denied: the services take a new certificate \
    within a second, the database server when it starts.\n\n\
    Example:\n  \
    mp169 prepare --home home --services services --trust trust --server server";

/// `prepare`
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// The folder of the mesh, for those who operate it.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// Gets a folder for each service, of its name.
    #[arg(long, value_name = "FOLDER")]
    pub services: PathBuf,
    /// Gets what all trust. The path is the one at which the services see it, too.
    #[arg(long, value_name = "FOLDER")]
    pub trust: PathBuf,
    /// Gets what the database server and who migrates need.
    #[arg(long, value_name = "FOLDER")]
    pub server: PathBuf,
    /// The name by which the services reach the database server.
    #[arg(long, value_name = "HOST", default_value = "postgres")]
    pub server_host: String,
    /// The first of five ports in a row, on which each service listens at its own host.
    #[arg(long, default_value_t = 16_169)]
    pub port: u16,
    /// For how many days a certificate holds.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// A certificate is issued anew when it ends within so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub renew_before: u32,
}
