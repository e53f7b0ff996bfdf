//! Which certificates or identities does a command line mean?

use anyhow::{Result, bail};
use mesh_authz::Identity;
use mesh_rpc::{CertificateId, Denied};
use mesh_types::EntityId;

use crate::cli::certificate::Selected;
use crate::cli::value::eui64;
use crate::exit::Usage;
use crate::home::Folder;
use crate::issued::{Held, Known};
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

/// Finds it among what is `held`, if it names something there.
pub(super) fn chosen(
    selected: &Selected,
    folder: Option<&Folder>,
    held: &Held,
) -> Result<Vec<Chosen>> {
    let known = &held.known;
    Ok(if let Some(name) = &selected.by.name {
        named(name, held)?
    } else if let Some(path) = &selected.by.file {
        vec![certificate(Known::read(path, "")?, known)]
    } else if let Some(serial) = &selected.by.serial {
        let authorities = folder.map(Folder::authorities).transpose()?;
        let authorities = authorities.unwrap_or_default();
        let own = authorities.first().map(|authority| &authority.id.issuer);
        if let Some((issuer, own)) = selected.issuer.as_ref().zip(own)
            && issuer != own
        {
            complain(&format_args!(
                "{issuer} is not this mesh's own authority, which is {own}."
            ));
        }
        let issuer = selected.issuer.as_ref().or(own).ok_or_else(|| {
            Usage("give --issuer, the authority that gave this serial number: there is no mesh here whose authority could be meant".to_owned())
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
        identities(text, held)?
    })
}

/// Nobody has to show a trusted authority's own certificate, so to deny it stops nobody.
pub(super) fn refuse_trusted(chosen: &[Chosen], folder: Option<&Folder>) -> Result<()> {
    let trusted = folder.map(Folder::authorities).transpose()?;
    let trusted = trusted.unwrap_or_default();
    let is_trusted = |chosen: &Chosen| {
        let id = |known: &Known| Denied::Certificate(known.id.clone());
        trusted.iter().any(|known| chosen.denied == id(known))
    };
    if chosen.iter().any(is_trusted) {
        bail!(
            "it is a trusted authority's own certificate, and denying it would stop nobody: take it \
             out of the trusted authorities (ca.crt.pem) instead, on each machine"
        );
    }
    Ok(())
}

/// What cannot be read may be one of those that are asked for.
fn refuse_unread(name: &str, held: &Held) -> Result<()> {
    match held.unread.iter().find(|unread| unread.name == name) {
        None => Ok(()),
        Some(unread) => bail!(
            "{:#}: it may be one of {name}'s. Put that file right or take it away; --serial and \
             --file name one certificate, and --identity with an EUI-64 or a role all of a holder",
            unread.error
        ),
    }
}

fn named(name: &str, held: &Held) -> Result<Vec<Chosen>> {
    refuse_unread(name, held)?;
    let known = &held.known;
    let named = known.iter().filter(|known| known.name == name);
    let chosen: Vec<Chosen> = named.map(|known| certificate(known.clone(), &[])).collect();
    if chosen.is_empty() {
        let mut names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        bail!(
            "no certificate was issued to {name} here, but to: {} (--file, --serial and --identity name others)",
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

/// By what is typed: a role, an EUI-64 in whatever spelling, or a name under which certificates were
/// issued, which may carry several.
fn identities(text: &str, held: &Held) -> Result<Vec<Chosen>> {
    let entity = || eui64(text).ok().map(EntityId::new);
    let typed = (text.parse().ok()).or_else(|| entity().map(Identity::Organisation));
    let mut identities = Vec::from_iter(typed);
    if identities.is_empty() {
        refuse_unread(text, held)?;
        let named = held.known.iter().filter(|known| known.name == text);
        for identity in named.filter_map(|known| known.identity) {
            if !identities.contains(&identity) {
                identities.push(identity);
            }
        }
    }
    if identities.is_empty() {
        bail!("{text} is no role and no EUI-64, and no certificate that was issued to it is here");
    }
    let chosen = identities.into_iter().map(|identity| Chosen {
        denied: Denied::Identity(identity),
        name: text.to_owned(),
        identity: Some(identity),
        is_authority: false,
    });
    Ok(chosen.collect())
}
