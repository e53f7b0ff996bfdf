//! Where are the databases of the mesh that is measured, and what is kept beside them?
//!
//! Whatever the mesh is compared with that commits by itself, commits on the same engine and the same disk.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use mesh_store::{Database, DatabaseServer};
use mesh_testkit::postgres::{Databases, Server};
use mp169::home::Folder;
use serde::Serialize;

use crate::machine::CountedIn;
use crate::postgres::SETTINGS;

/// On which engine the mesh keeps its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// In files.
    Sqlite,
    /// On a throw-away server on the same disk.
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A place for databases.
pub(crate) enum Room {
    Files(PathBuf),
    Server {
        server: DatabaseServer,
        /// They go away with it.
        _databases: Databases,
        _counted: CountedIn,
    },
}

impl Room {
    /// In the folder `home` of a mesh, or on a server that keeps its data in `parent`.
    pub(crate) fn new(engine: Engine, parent: &Path, home: &Path) -> Result<Self> {
        match engine {
            Engine::Sqlite => Ok(Self::Files(home.to_owned())),
            Engine::Postgres => {
                let server = Server::start_in(parent, SETTINGS);
                let server = server.context("PostgreSQL is not installed here")?;
                let databases = server.databases();
                // Without TLS between the services and their server, as `pgbench` has none either.
                let url = format!("{}?sslmode=disable", databases.url());
                Ok(Self::Server {
                    server: DatabaseServer::of(&url)?,
                    _databases: databases,
                    _counted: CountedIn::new(server.process()),
                })
            }
        }
    }

    /// The folder of a mesh that has its databases here.
    pub(crate) fn folder(&self, home: &Path) -> Result<Folder> {
        let server = match self {
            Self::Files(_) => None,
            Self::Server { server, .. } => Some(server.clone()),
        };
        Folder::open_or_make(home)?.with_databases(server)
    }

    /// A database that is none of the mesh's.
    pub(crate) async fn beside(&self, name: &str) -> Result<Database> {
        Ok(Database::existing_or_new(match self {
            Self::Files(folder) => format!("sqlite://{}/{name}.db", folder.display()),
            Self::Server { server, .. } => {
                server.make(&[name.to_owned()]).await?;
                server.url(name)
            }
        }))
    }
}
