//! As whom is the mesh asked, and where is it?

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use mesh_authz::InternalRole;

use crate::cli::connection::Connection;
use crate::clients::Clients;
use crate::exit::Usage;
use crate::home::Folder;

/// The way to the mesh that a command's arguments name.
pub(crate) struct Session {
    /// The services, as the identity sees them.
    pub(crate) clients: Clients,
    /// The folder with the certificate.
    pub(crate) folder: Folder,
    /// The certificate's name: a party's id or an internal role.
    pub(crate) identity: String,
}

impl Session {
    /// As the identity that is named; otherwise as the only one that the folder holds; otherwise as
    /// the one that usually gives this command, if there is one.
    pub(crate) fn open<O>(connection: &Connection<O>, usual: Option<InternalRole>) -> Result<Self>
    where
        O: ValueEnum + Send + Sync + 'static,
    {
        Self::of(&connection.home, connection.identity.as_deref(), usual)
    }

    /// The same for a command that shows its answer in one way only.
    pub(crate) fn of(
        home: &Path,
        identity: Option<&str>,
        usual: Option<InternalRole>,
    ) -> Result<Self> {
        let folder = Folder::open(home)?;
        let identity = match identity {
            Some(identity) => identity.to_owned(),
            None => unnamed(folder.identities()?, usual)?,
        };
        Ok(Self {
            clients: Clients::of(&folder, &identity)?,
            folder,
            identity,
        })
    }

    /// The party that the identity is; empty for an internal role, which sees the data of all.
    pub(crate) fn own_party(&self) -> String {
        match InternalRole::from_spiffe_path(&self.identity) {
            Some(_) => String::new(),
            None => self.identity.clone(),
        }
    }
}

fn unnamed(identities: Vec<String>, usual: Option<InternalRole>) -> Result<String> {
    let usual = usual.map(|role| role.as_str().to_owned());
    match <[String; 1]>::try_from(identities) {
        Ok([only]) => Ok(only),
        Err(identities) => Ok(usual.ok_or_else(|| {
            let names = identities.join(", ");
            Usage(format!(
                "say with --as whose certificate to show; there are: {names}"
            ))
        })?),
    }
}

/// A new request id: the same request, sent again after a connection was lost, has one effect.
pub(crate) fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_that_is_not_named_is_the_only_one_or_the_usual_one() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let chosen = |identities, usual| unnamed(names(identities), usual).ok();
        let operator = Some(InternalRole::Operator);
        assert_eq!(chosen(&["BRIGHT"], operator).as_deref(), Some("BRIGHT"));
        let both = ["BRIGHT", "operator"];
        assert_eq!(chosen(&both, operator).as_deref(), Some("operator"));
        assert_eq!(chosen(&both, None), None);
        let error = unnamed(names(&both), None).unwrap_err();
        assert!(error.to_string().contains("BRIGHT, operator"), "{error}");
    }
}
