//! On which engine is a scenario played? On each: what holds on one must hold on the other.

use std::path::Path;

use mesh_store::DatabaseServer;
use mesh_testkit::postgres;
use mp169::home::Folder;

/// Where the databases of a test's mesh are.
#[derive(Debug)]
pub(crate) enum Databases {
    /// In files of the mesh's folder.
    Files,
    /// On the server that all tests share.
    Server(postgres::Databases),
}

impl Databases {
    /// On a server; `None`, and a printed line, where PostgreSQL is not installed.
    pub(crate) fn on_server() -> Option<Self> {
        Some(Self::Server(postgres::databases()?))
    }

    /// The folder of a mesh, made and filled if there is nothing in it, that has its databases here.
    pub(crate) fn folder(&self, home: &Path) -> Folder {
        folder(home, self.url().as_deref())
    }

    /// The server, and how the names of the databases begin there.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Files => None,
            Self::Server(databases) => Some(databases.url()),
        }
    }
}

/// The same where somebody else keeps the databases.
pub(crate) fn folder(home: &Path, server: Option<&str>) -> Folder {
    let server = server.map(|url| DatabaseServer::of(url).unwrap());
    let folder = Folder::open_or_make(home).unwrap();
    folder.with_databases(server).unwrap()
}

/// Makes tests out of scenarios, `async fn(Databases)`: each is played on each engine.
macro_rules! on_each_engine {
    ($($scenario:ident)+) => {$(
        mod $scenario {
            use crate::engine::Databases;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$scenario(Databases::Files).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(databases) = Databases::on_server() {
                    super::$scenario(databases).await;
                }
            }
        }
    )+};
}

pub(crate) use on_each_engine;
