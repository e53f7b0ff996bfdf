//! Which certificates did the mesh's authority issue, and to whom?
//!
//! A certificate is handed to its holder and may be replaced or lost; to be revoked it must still be
//! known. So each one is kept, without its key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_authz::Identity;
use mesh_pki::Issued;
use mesh_rpc::{CertificateId, identity_of};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::replace::replace;

const ENDING: &str = ".crt.pem";

/// A certificate that is known.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Which one it is.
    pub(crate) id: CertificateId,
    /// Whom it names; `None` if nobody of the mesh.
    pub(crate) identity: Option<Identity>,
    /// Under which name it was kept: a party's id or an internal role; empty if under none.
    pub(crate) name: String,
    /// It is an authority's, which issues others.
    pub(crate) is_authority: bool,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Its certificates.
    pub(crate) known: Vec<Known>,
    /// The files that should hold one, and cannot be read.
    pub(crate) unread: Vec<Unread>,
}

/// A file whose certificate is not known.
#[derive(Debug)]
pub(crate) struct Unread {
    /// Under which name it is kept.
    pub(crate) name: String,
    /// Which file, and why.
    pub(crate) error: anyhow::Error,
}

impl Known {
    /// Reads the first certificate of a file, PEM or DER.
    pub(crate) fn read(path: &Path, name: &str) -> Result<Self> {
        let octets = octets(path)?;
        let der = CertificateDer::from_pem_slice(&octets)
            .unwrap_or_else(|_| CertificateDer::from(octets));
        Self::of(&der, path, name)
    }

    /// Reads all certificates of a PEM file.
    pub(crate) fn read_all(path: &Path) -> Result<Vec<Self>> {
        let octets = octets(path)?;
        CertificateDer::pem_slice_iter(&octets)
            .map(|der| {
                let der = der.with_context(|| format!("{} is no PEM file", path.display()))?;
                Self::of(&der, path, "")
            })
            .collect()
    }

    fn of(der: &CertificateDer<'_>, path: &Path, name: &str) -> Result<Self> {
        let id = CertificateId::of(der)
            .with_context(|| format!("{} holds no certificate", path.display()))?;
        let identity = identity_of(der);
        Ok(Self {
            id,
            identity: identity.ok(),
            name: name.to_owned(),
            is_authority: identity == Err(mesh_rpc::IdentityError::Authority),
        })
    }
}

fn octets(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Keeps what was issued to `name` in `folder`.
pub(crate) fn keep(folder: &Path, name: &str, issued: &Issued) -> Result<()> {
    let id = CertificateId::of(&issued.certificate_der()).context("a certificate was issued")?;
    let path = folder.join(format!("{name}.{}{ENDING}", id.serial));
    std::fs::create_dir_all(folder)
        .and_then(|()| replace(&path, issued.certificate_pem()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// All certificates in `folder`; none if there is no such folder. One that cannot be read hides no
/// other.
pub(crate) fn all(folder: &Path) -> Result<Held> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Held::default()),
        Err(error) => return Err(error.into()),
    };
    paths.sort();
    let named = paths.iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
        // Names of parties and roles hold no dots.
        Some((path, name.split('.').next()?))
    });
    let mut held = Held::default();
    for (path, name) in named {
        match Known::read(path, name) {
            Ok(known) => held.known.push(known),
            Err(error) => held.unread.push(Unread {
                name: name.to_owned(),
                error,
            }),
        }
    }
    Ok(held)
}
