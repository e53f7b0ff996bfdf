//! How is a server named on which the databases of a mesh are?

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
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
    /// The one in a file of one line.
    pub(crate) fn kept_in(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(text.trim_end().to_owned()))
    }

    /// The server that it names.
    pub(crate) fn read(&self) -> Result<DatabaseServer> {
        let server = DatabaseServer::of(&self.0);
        Ok(server.map_err(|error| Usage(format!("--database: {error}")))?)
    }
}

/// The server on which databases are looked after.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ServerArgs {
    /// The server, as a role that may alter tables: postgres://USER@HOST:PORT, or with /PREFIX as `mp169 up` was
    /// given it.
    #[arg(
        long,
        value_name = "URL",
        env = "MP169_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<ServerUrl>,
    /// A file that holds what --database would: one line.
    #[arg(long, value_name = "FILE", env = "MP169_DATABASE_FILE")]
    pub database_file: Option<PathBuf>,
}

impl ServerArgs {
    /// The server that is meant.
    pub(crate) fn read(&self) -> Result<DatabaseServer> {
        let url = match (&self.database, &self.database_file) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => ServerUrl::kept_in(path)?,
            (None, None) => return Err(Usage("--database is missing".to_owned()).into()),
        };
        url.read()
    }
}
