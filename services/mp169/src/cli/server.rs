//! How is a server named on which the databases of a mesh are?

use std::fmt;

use anyhow::Result;
use mesh_store::DatabaseServer;

use crate::exit::Usage;

/// The URL of a server. It may hold a password, so it is shown to nobody, also where it is malformed.
#[derive(Clone)]
pub struct ServerUrl(String);

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerUrl")
    }
}

impl From<String> for ServerUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl ServerUrl {
    /// The server that it names.
    pub(crate) fn read(&self) -> Result<DatabaseServer> {
        let server = DatabaseServer::of(&self.0);
        Ok(server.map_err(|error| Usage(format!("--database: {error}")))?)
    }
}
