//! How does a certificate come into a browser? As PKCS #12: one file with the key, under a password.
//!
//! Encrypted with AES-256 and checked with HMAC-SHA-256 (PBES2, RFC 8018): Firefox, Chromium, macOS and
//! Windows from version 10 of 2017 on import that. What older ones need is weak, and not offered.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_pki::Issued;
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey,
    PrivateKeyChain,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::cli::p12::P12Args;

/// What guessing a password costs: rounds of PBKDF2.
const ROUNDS: u32 = 100_000;
/// Octets by which the file says which key is whose, as others write it.
const KEY_ID: usize = 20;

/// A file that is to be written.
pub(crate) struct Wanted {
    path: PathBuf,
    password: String,
}

impl Wanted {
    /// Reads the password or asks for it, before anything is issued; `None` if no file is wanted.
    pub(crate) fn read(args: &P12Args) -> Result<Option<Self>> {
        let Some(path) = &args.p12 else {
            return Ok(None);
        };
        if path.exists() {
            bail!("{} is there already: name another file", path.display());
        }
        let password = match &args.p12_password_file {
            Some(file) => first_line(file)?,
            None => asked()?,
        };
        if password.is_empty() {
            bail!("the password of --p12 is empty: browsers would not import the file");
        }
        Ok(Some(Self {
            path: path.clone(),
            password,
        }))
    }

    /// Writes what was issued to `name`. Only its owner may read the file.
    pub(crate) fn write(&self, name: &str, issued: &Issued) -> Result<&Path> {
        let octets = self.octets(name, issued)?;
        let written = create(&self.path).and_then(|mut file| {
            file.write_all(&octets)?;
            file.sync_all()
        });
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(&self.path)
    }

    fn octets(&self, name: &str, issued: &Issued) -> Result<Vec<u8>> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(issued.key_pem().as_bytes())?;
        let key = PrivateKey::from_der(key.secret_pkcs8_der())?;
        let certificate = issued.certificate_der();
        let id = &Sha256::digest(&certificate)[..KEY_ID];
        let chain = PrivateKeyChain::new(id, key, [Certificate::from_der(&certificate)?]);
        let mut store = KeyStore::new();
        store.add_entry(name, KeyStoreEntry::PrivateKeyChain(chain));
        let octets = store
            .writer(&self.password)
            .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
            .encryption_iterations(ROUNDS)
            .mac_algorithm(MacAlgorithm::HmacSha256)
            .mac_iterations(ROUNDS)
            .write()?;
        Ok(octets)
    }
}

fn first_line(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn asked() -> Result<String> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).context(
            "nobody can be asked for the password of --p12; --p12-password-file names a file with it",
        )
    };
    let password = ask("Password of the file: ")?;
    if ask("The same again: ")? != password {
        bail!("the two passwords differ; nothing was issued");
    }
    Ok(password)
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Elsewhere the folder's own permissions apply.
#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

#[cfg(test)]
mod tests {
    use mesh_testkit::{certificates, temp_dir};
    use p12_keystore::Pkcs12ImportPolicy;

    use super::*;

    #[test]
    fn the_file_has_key_and_certificate_for_who_knows_the_password() {
        let folder = temp_dir();
        let wanted = Wanted {
            path: folder.path().join("analyst.p12"),
            password: "correct horse £".to_owned(),
        };
        let issued = certificates().internal("analyst");
        let octets = std::fs::read(wanted.write("analyst", &issued).unwrap()).unwrap();
        let policy = Pkcs12ImportPolicy::Relaxed;
        let store = KeyStore::from_pkcs12(&octets, &wanted.password, policy).unwrap();
        let (name, chain) = store.private_key_chain().unwrap();
        assert_eq!(name, "analyst");
        assert_eq!(chain.certs()[0].as_der(), &*issued.certificate_der());
        let key = PrivatePkcs8KeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
        assert_eq!(chain.key().as_der(), key.secret_pkcs8_der());
        assert!(KeyStore::from_pkcs12(&octets, "guessed", policy).is_err());
        wanted.write("analyst", &issued).unwrap_err();
    }
}
