//! The folder of a mesh on one machine: its authority and certificates, its databases, and where
//! its services listen.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_authz::InternalRole;
use mesh_pki::{CA_CERTIFICATE_FILE, CA_KEY_FILE, Ca, IssuedPaths, Validity};
use mesh_rpc::{Tls, TlsFiles};
use mesh_types::SystemClock;

use crate::mesh::Service;
use crate::sample;

/// The certificates of a mesh that somebody only tries out live so long.
const VALIDITY: Duration = Duration::from_secs(90 * 86_400);

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made and filled if there is no authority in it yet.
    pub fn open_or_make(path: &Path) -> Result<Self> {
        let folder = Self(path.to_owned());
        if !folder.authority().join(CA_KEY_FILE).exists() {
            folder
                .issue_all()
                .with_context(|| format!("cannot prepare {}", path.display()))?;
        }
        Ok(folder)
    }

    /// The folder at `path`, where `mp169 up` has run.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self(path.to_owned());
        if !folder.authority().join(CA_CERTIFICATE_FILE).exists() {
            bail!(
                "there is no mesh in {}; start one with `mp169 up`, or name its folder with --home",
                path.display()
            );
        }
        Ok(folder)
    }

    fn authority(&self) -> PathBuf {
        self.0.join("authority")
    }

    fn certificates(&self) -> PathBuf {
        self.0.join("certificates")
    }

    /// One authority; one certificate for each internal role and each sample party.
    fn issue_all(&self) -> Result<()> {
        let validity = Validity::starting_now(&SystemClock, VALIDITY);
        let authority = Ca::new("MP169 mesh on one machine", validity)?;
        let folder = self.certificates();
        for role in InternalRole::ALL {
            let names = [role.as_str(), "localhost", "127.0.0.1"];
            authority
                .issue_internal(role.as_str(), &names, validity)?
                .write_to(&folder, role.as_str())?;
        }
        for party in sample::PARTIES {
            authority
                .issue_organisation(party.entity(), party.role_code, party.name, validity)?
                .write_to(&folder, party.id)?;
        }
        // Last: its key says that the folder is complete.
        authority.write_to(&self.authority())?;
        Ok(())
    }

    /// The certificate and key of `name` (an internal role or a party), and whom it trusts.
    pub fn tls(&self, name: &str) -> Result<Tls> {
        let paths = IssuedPaths::of(&self.certificates(), name);
        if !paths.certificate.exists() {
            bail!(
                "no certificate named {name}; there are: {}",
                self.identities()?.join(", ")
            );
        }
        let files = TlsFiles {
            certificate: paths.certificate,
            key: paths.key,
            trust: self.authority().join(CA_CERTIFICATE_FILE),
        };
        Tls::from_files(files).with_context(|| format!("cannot use the certificate of {name}"))
    }

    /// The names that there are certificates for.
    fn identities(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.certificates())? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".crt.pem"));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The database of a service.
    #[must_use]
    pub fn database_url(&self, service: Service) -> String {
        format!(
            "sqlite://{}",
            self.0.join(format!("{}.db", service.name())).display()
        )
    }

    /// Claims the folder for the one mesh that may run in it, for as long as the file is held.
    pub fn claim(&self) -> Result<File> {
        let path = self.0.join("mesh.lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "a mesh runs already in {}; stop it, or name another folder with --home",
                    self.0.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Notes where the services listen, for the commands that talk to them.
    pub fn write_addresses(&self, addresses: &BTreeMap<Service, String>) -> Result<()> {
        let named: BTreeMap<&str, &String> = addresses
            .iter()
            .map(|(service, address)| (service.name(), address))
            .collect();
        let path = self.0.join("addresses.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&named)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Where a service listens.
    pub fn address(&self, service: Service) -> Result<String> {
        let path = self.0.join("addresses.json");
        let text = std::fs::read(&path)
            .with_context(|| format!("cannot read {}; is `mp169 up` running?", path.display()))?;
        let named: BTreeMap<String, String> = serde_json::from_slice(&text)?;
        let address = named.get(service.name());
        address
            .cloned()
            .with_context(|| format!("{} does not list {}", path.display(), service.name()))
    }
}
