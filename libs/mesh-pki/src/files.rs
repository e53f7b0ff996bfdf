//! How are certificates and keys kept in a folder?
//!
//! Certificates are world-readable, keys are created with mode 0600. Each file is written beside its
//! final name and then moved over it, so that a server that reloads never reads half a file.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::{Ca, Issued, PkiError};

/// The authority's certificate in its folder: what peers trust.
pub const CA_CERTIFICATE_FILE: &str = "ca.crt.pem";
/// The authority's private key in its folder.
pub const CA_KEY_FILE: &str = "ca.key.pem";

/// Where a certificate and its key were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedPaths {
    /// `<name>.crt.pem`
    pub certificate: PathBuf,
    /// `<name>.key.pem`
    pub key: PathBuf,
}

impl IssuedPaths {
    /// The paths that [`Issued::write_to`] uses for `name` in `folder`.
    #[must_use]
    pub fn of(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.crt.pem")),
            key: folder.join(format!("{name}.key.pem")),
        }
    }
}

impl Ca {
    /// Writes the authority's certificate and key into `folder`, which is made if missing.
    pub fn write_to(&self, folder: &Path) -> Result<(), PkiError> {
        make_folder(folder)?;
        let certificate = folder.join(CA_CERTIFICATE_FILE);
        write(&certificate, self.certificate_pem(), Readers::All)?;
        write(&folder.join(CA_KEY_FILE), &self.key_pem(), Readers::Owner)
    }

    /// Reads the authority that [`Ca::write_to`] wrote.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let read = |name| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|source| PkiError::File { path, source })
        };
        Self::from_pem(&read(CA_CERTIFICATE_FILE)?, &read(CA_KEY_FILE)?)
    }
}

impl Issued {
    /// Writes `<name>.key.pem` and then `<name>.crt.pem` into `folder`, which is made if missing.
    pub fn write_to(&self, folder: &Path, name: &str) -> Result<IssuedPaths, PkiError> {
        make_folder(folder)?;
        let paths = IssuedPaths::of(folder, name);
        write(&paths.key, self.key_pem(), Readers::Owner)?;
        write(&paths.certificate, self.certificate_pem(), Readers::All)?;
        Ok(paths)
    }
}

#[derive(Clone, Copy)]
enum Readers {
    All,
    Owner,
}

fn make_folder(folder: &Path) -> Result<(), PkiError> {
    fs::create_dir_all(folder).map_err(|source| PkiError::File {
        path: folder.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str, readers: Readers) -> Result<(), PkiError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:016x}.new", rand::random::<u64>()));
    let beside = PathBuf::from(beside);
    create(&beside, text, readers)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| {
            // The first error is the one to report; a leftover file is only untidy.
            let _ = fs::remove_file(&beside);
            PkiError::File {
                path: path.to_owned(),
                source,
            }
        })
}

fn create(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options, readers);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn restrict(options: &mut fs::OpenOptions, readers: Readers) {
    use std::os::unix::fs::OpenOptionsExt as _;

    options.mode(match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    });
}

/// Elsewhere the folder's own permissions apply.
#[cfg(not(unix))]
fn restrict(_options: &mut fs::OpenOptions, _readers: Readers) {}
