//! Where are the databases of a mesh: in files of its folder, or on a server?

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_store::DatabaseServer;

use crate::replace::replace;
use crate::service::Service;

/// Remembers in a mesh's folder on which server its databases are. Without it they are files.
const REMEMBERED: &str = "database-server";

/// Where they are. Each has the name of its service, or of its service's audit.
#[derive(Debug, Clone)]
pub(crate) enum Databases {
    /// Files in this folder.
    Files(PathBuf),
    /// On a server.
    Server(DatabaseServer),
}

/// The names of all databases of a mesh: one for each service that keeps something, and one for each audit.
#[must_use]
pub fn names() -> Vec<String> {
    Service::ALL.into_iter().flat_map(names_of).collect()
}

/// The names of a service's databases. classification keeps nothing but the record of its calls.
pub(crate) fn names_of(service: Service) -> Vec<String> {
    let name = service.name();
    let own = (service != Service::Classification).then(|| name.to_owned());
    own.into_iter().chain([format!("{name}-audit")]).collect()
}

impl Databases {
    /// Those of the mesh in `folder`, on `server` or in files if there is none. The folder remembers which:
    /// at any other place than where they are the mesh would have forgotten everything, so that is refused.
    pub(crate) fn of(folder: &Path, server: Option<DatabaseServer>) -> Result<Self> {
        let memory = folder.join(REMEMBERED);
        let there = remembered(&memory)?;
        match (there, server) {
            (None, None) => Ok(Self::Files(folder.to_owned())),
            (None, Some(server)) => {
                refuse_files(folder)?;
                let kept = replace(&memory, &format!("{server}\n"));
                kept.with_context(|| format!("cannot write {}", memory.display()))?;
                Ok(Self::Server(server))
            }
            (Some(there), Some(server)) if there == server.to_string() => Ok(Self::Server(server)),
            (Some(there), asked) => {
                let asked = asked.map_or_else(
                    || "no --database was given".to_owned(),
                    |asked| format!("--database names {asked}"),
                );
                bail!(
                    "the databases of this mesh are on the server {there}, and {asked}; if they have moved, \
                     remove {}",
                    memory.display()
                )
            }
        }
    }

    /// The URL of the database of that name.
    pub(crate) fn url(&self, name: &str) -> String {
        match self {
            Self::Files(folder) => {
                let path = folder.join(format!("{name}.db"));
                format!("sqlite://{}", path.display())
            }
            Self::Server(server) => server.url(name),
        }
    }

    /// Makes those that are missing on a server; a file is made by whoever opens it.
    pub(crate) async fn make(&self) -> Result<()> {
        if let Self::Server(server) = self {
            server.make(&names()).await?;
        }
        Ok(())
    }
}

/// On which server the databases of the mesh in `folder` are; `None` if they are files.
pub(crate) fn server_of(folder: &Path) -> Result<Option<String>> {
    remembered(&folder.join(REMEMBERED))
}

fn remembered(memory: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(memory) {
        Ok(there) => Ok(Some(there.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", memory.display())),
    }
}

/// Refuses a folder that has databases, or had.
fn refuse_files(folder: &Path) -> Result<()> {
    let files = names()
        .into_iter()
        .flat_map(|name| [format!("{name}.db"), format!("{name}.db.witness")]);
    match files
        .map(|file| folder.join(file))
        .find(|file| file.exists())
    {
        None => Ok(()),
        Some(file) => bail!(
            "this mesh keeps its databases in files, such as {}: start it without --database, or name another \
             folder with --home",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Option<DatabaseServer> {
        Some(DatabaseServer::of(url).unwrap())
    }

    #[test]
    fn a_mesh_stays_where_its_databases_are() {
        let scratch = mesh_testkit::temp_dir();
        let folder = scratch.path();
        let here = "postgres://clerk:secret@db.example/town";
        Databases::of(folder, server(here)).unwrap();
        let kept = std::fs::read_to_string(folder.join(REMEMBERED)).unwrap();
        assert_eq!(kept, "db.example:5432/town\n");

        // As whoever, and however protected.
        let same = "postgres://operator@db.example/town?sslmode=require";
        let databases = Databases::of(folder, server(same)).unwrap();
        assert_eq!(
            databases.url("classification-audit"),
            "postgres://operator@db.example/town-classification-audit?sslmode=require"
        );
        for asked in [None, server("postgres://clerk:secret@db.example/village")] {
            let refused = Databases::of(folder, asked).unwrap_err().to_string();
            assert!(refused.contains("db.example:5432/town"), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_mesh_that_has_files_goes_to_no_server() {
        let scratch = mesh_testkit::temp_dir();
        let folder = scratch.path();
        // What is left of a file says that there was one.
        std::fs::write(folder.join("reporting.db.witness"), "").unwrap();
        let refused = Databases::of(folder, server("postgres://clerk@db.example")).unwrap_err();
        assert!(refused.to_string().contains("reporting.db.witness"));
        Databases::of(folder, None).unwrap();
    }

    #[test]
    fn whoever_keeps_something_has_a_database_and_all_have_an_audit() {
        let names = names();
        assert_eq!(names.len(), 9);
        assert!(!names.contains(&"classification".to_owned()));
        assert!(names.contains(&"classification-audit".to_owned()));
    }
}
