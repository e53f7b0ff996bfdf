//! Which certificates or identities does a command line mean?

use anyhow::{Context as _, Result, bail};
use mesh_authz::Identity;
use mesh_rpc::{CertificateId, Denied};
use mesh_types::EntityId;

use crate::cli::certificate::Selected;
use crate::cli::value::eui64;
use crate::exit::Usage;
use crate::home::Folder;
use crate::issued::Known;
use crate::output::complain;

/// What is meant.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) denied: Denied,
    /// The name under which a certificate was issued; empty if that is not known.
    pub(super) name: String,
    pub(super) identity: Option<Identity>,
    pub(super) is_authority: bool,
}

/// Finds it among what is `known`, if it names something there.
pub(super) fn chosen(
    selected: &Selected,
    folder: Option<&Folder>,
    known: &[Known],
) -> Result<Vec<Chosen>> {
    let authority = folder.map(Folder::authority_certificate).transpose()?;
    let authority = authority.as_ref();
    let chosen = if let Some(name) = &selected.by.name {
        named(name, known)?
    } else if let Some(path) = &selected.by.file {
        vec![certificate(Known::read(path, "")?, known)]
    } else if let Some(serial) = &selected.by.serial {
        let own = authority.map(|authority| &authority.id.issuer);
        if let Some((issuer, own)) = selected.issuer.as_ref().zip(own)
            && issuer != own
        {
            complain(&format_args!(
                "{issuer} is not this mesh's own authority, which is {own}."
            ));
        }
        let issuer = selected.issuer.as_ref().or(own).ok_or_else(|| {
            Usage("say with --issuer whose serial number it is: here is no mesh".to_owned())
        })?;
        let id = CertificateId {
            serial: serial.clone(),
            issuer: issuer.clone(),
        };
        let unknown = Known {
            id,
            identity: None,
            name: String::new(),
            is_authority: false,
        };
        vec![certificate(unknown, known)]
    } else {
        let text = selected.by.identity.as_deref().unwrap_or_default();
        vec![identity(text, known)?]
    };
    let own = authority.map(|authority| Denied::Certificate(authority.id.clone()));
    if chosen
        .iter()
        .any(|chosen| Some(&chosen.denied) == own.as_ref())
    {
        bail!(
            "it is the authority's own certificate: whoever leaves an authority takes it out of the \
             trusted ones (ca.crt.pem)"
        );
    }
    Ok(chosen)
}

fn named(name: &str, known: &[Known]) -> Result<Vec<Chosen>> {
    let named = known.iter().filter(|known| known.name == name);
    let chosen: Vec<Chosen> = named.map(|known| certificate(known.clone(), &[])).collect();
    if chosen.is_empty() {
        let mut names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        bail!(
            "no certificate was issued to {name} here; to: {} (--file, --serial and --identity name others)",
            names.join(", ")
        );
    }
    Ok(chosen)
}

fn certificate(one: Known, known: &[Known]) -> Chosen {
    let one = known
        .iter()
        .find(|other| other.id == one.id)
        .cloned()
        .unwrap_or(one);
    Chosen {
        denied: Denied::Certificate(one.id),
        name: one.name,
        identity: one.identity,
        is_authority: one.is_authority,
    }
}

/// By what is typed: a role, an EUI-64 in whatever spelling, or a name under which a certificate was
/// issued.
fn identity(text: &str, known: &[Known]) -> Result<Chosen> {
    let entity = || eui64(text).ok().map(EntityId::new);
    let named = || known.iter().find(|known| known.name == text)?.identity;
    let identity = (text.parse().ok())
        .or_else(|| entity().map(Identity::Organisation))
        .or_else(named)
        .with_context(|| format!("{text} is no role, no EUI-64 and no name in this folder"))?;
    Ok(Chosen {
        denied: Denied::Identity(identity),
        name: text.to_owned(),
        identity: Some(identity),
        is_authority: false,
    })
}
