//! Where is a database, as somebody names it who works on it from outside?

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::postgres::Server;
use crate::{StoreError, sqlite};

/// A database by its path, or by the URL by which its service names it. Its text names no user and no
/// password.
#[derive(Clone)]
pub struct Location(pub(crate) Place);

/// Where it is.
#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Server(Box<Server>),
}

impl Location {
    /// The path, of a file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Server(_) => None,
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Location {
    fn from(path: &P) -> Self {
        Self(Place::File(path.as_ref().to_owned()))
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Ok(Self(match text.split_once("://") {
            None => Place::File(text.into()),
            Some(("sqlite", path)) => Place::File(sqlite::path(path)?),
            Some(("postgres" | "postgresql", _)) => Place::Server(Box::new(Server::of(text)?)),
            Some((scheme, _)) => {
                let scheme = scheme.to_owned();
                return Err(StoreError::UnsupportedEngine { scheme });
            }
        }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Server(server) => write!(f, "{server}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_a_path_or_a_url_and_told_without_secrets() {
        for (named, told) in [
            ("a/b.db", "a/b.db"),
            ("sqlite://a/b.db", "a/b.db"),
            ("sqlite:///a/b.db", "/a/b.db"),
            (
                "postgres://clerk:secret@host:5433/flags",
                "flags at host:5433",
            ),
        ] {
            let at: Location = named.parse().unwrap();
            assert_eq!(at.to_string(), told);
        }
        for wrong in ["mysql://host/flags", "sqlite://", "postgres://host"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
    }
}
