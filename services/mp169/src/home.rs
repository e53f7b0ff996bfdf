//! The folder of a mesh on one machine: its authority and certificates, its databases, and where
//! its services listen; and that of a client, which has as much of it as the client needs.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_authz::InternalRole;
use mesh_pki::{CA_CERTIFICATE_FILE, CA_KEY_FILE, Ca, Issued, IssuedPaths, Validity};
use mesh_rpc::{Tls, TlsFiles};
use mesh_store::{Database, DatabaseServer};
use mesh_types::SystemClock;

use crate::databases::Databases;
use crate::denied::{DENIED_FILE, HEADER, refuse_lost};
use crate::issued::{self, Held, Known};
use crate::replace::replace;
use crate::sample;
use crate::service::Service;

mod apart;
mod authorities;

use apart::ADDRESSES;
pub(crate) use apart::is_apart;
pub(crate) use authorities::Change;

/// The certificates of a mesh that somebody only tries out live so long.
const VALIDITY: Duration = Duration::from_secs(90 * 86_400);
/// The name of the authority of a mesh.
const AUTHORITY: &str = "MP169 mesh on one machine";

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// Whether databases that are not there may be made.
    create: bool,
    databases: Databases,
}

impl Folder {
    /// The folder at `path`, made and filled if there is no authority in it yet. One that has an
    /// authority and no list of what is denied is refused.
    pub fn open_or_make(path: &Path) -> Result<Self> {
        let mut folder = Self::at(path);
        if !folder.is_of_a_mesh() {
            // There can be no databases that went missing.
            folder.create = true;
            folder
                .issue_all()
                .with_context(|| format!("cannot prepare {}", path.display()))?;
        }
        folder.list_of_denied()?;
        Ok(folder)
    }

    /// The folder at `path`, where `mp169 up` has run, or of a client.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::at(path);
        if !folder.authority_folder().join(CA_CERTIFICATE_FILE).exists() {
            bail!(
                "there is no mesh in {}; start one with `mp169 up`, or name its folder with --home",
                path.display()
            );
        }
        Ok(folder)
    }

    /// Fails if the services of the folder at `path`, which need not be there, run apart.
    pub(crate) fn refuse_apart(path: &Path) -> Result<()> {
        apart::refuse(path)
    }

    fn at(path: &Path) -> Self {
        let (path, create) = (path.to_owned(), false);
        let databases = Databases::Files(path.clone());
        Self {
            path,
            create,
            databases,
        }
    }

    /// The same, in which databases are made if they are not there and never were.
    #[must_use]
    pub fn with_new_databases(self) -> Self {
        let create = true;
        Self { create, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `mp169 up` has filled it; a client's has no authority's key.
    pub(crate) fn is_of_a_mesh(&self) -> bool {
        self.authority_folder().join(CA_KEY_FILE).exists()
    }

    /// Whether `mp169 prepare` has filled it: then the list of what is denied is one outside, which services
    /// that run apart read.
    pub(crate) fn is_prepared(&self) -> bool {
        self.path.join(DENIED_FILE).is_symlink()
    }

    fn authority_folder(&self) -> PathBuf {
        self.path.join("authority")
    }

    fn certificates(&self) -> PathBuf {
        self.path.join("certificates")
    }

    /// One authority; one certificate for each internal role and each sample party.
    fn issue_all(&self) -> Result<()> {
        let validity = Validity::starting_now(&SystemClock, VALIDITY);
        let authority = Ca::new(AUTHORITY, validity)?;
        let folder = self.certificates();
        for &role in InternalRole::ALL {
            self.issue_internal(&authority, role, validity)?
                .write_to(&folder, role.as_str())?;
        }
        for party in sample::PARTIES {
            let (entity, code) = (party.entity(), party.role_code);
            let issued = authority.issue_organisation(entity, code, party.name, validity)?;
            self.note_issued(party.id, &issued)?;
            issued.write_to(&folder, party.id)?;
        }
        let denied = self.path.join(DENIED_FILE);
        if !denied.exists() {
            // From now on somebody has removed it if it is not there.
            replace(&denied, HEADER)?;
        }
        // Last: its key says that the folder is complete.
        authority.write_to(&self.authority_folder())?;
        Ok(())
    }

    /// A certificate of an internal role, which is reached on this machine if it is a service.
    pub(crate) fn issue_internal(
        &self,
        authority: &Ca,
        role: InternalRole,
        validity: Validity,
    ) -> Result<Issued> {
        let names = [role.as_str(), "localhost", "127.0.0.1"];
        let issued = authority.issue_internal(role.as_str(), &names, validity)?;
        self.note_issued(role.as_str(), &issued)?;
        Ok(issued)
    }

    /// Remembers what was issued to `name`, so that it can be revoked wherever it is.
    pub(crate) fn note_issued(&self, name: &str, issued: &Issued) -> Result<()> {
        issued::keep(&self.issued_folder(), name, issued)
    }

    fn issued_folder(&self) -> PathBuf {
        self.authority_folder().join("issued")
    }

    /// The certificates that were issued here, or are kept here.
    pub(crate) fn known(&self) -> Result<Held> {
        let mut held = issued::all(&self.issued_folder())?;
        let kept = issued::all(&self.certificates())?;
        held.unread.extend(kept.unread);
        for kept in kept.known {
            if held.known.iter().all(|other| other.id != kept.id) {
                held.known.push(kept);
            }
        }
        Ok(held)
    }

    /// The certificates of the authorities that are trusted here, the mesh's own first.
    pub(crate) fn authorities(&self) -> Result<Vec<Known>> {
        Known::read_all(&self.authority_folder().join(CA_CERTIFICATE_FILE))
    }

    /// The list of what is denied in this mesh; a client has none. One that was lost is not taken for
    /// an empty one.
    pub(crate) fn list_of_denied(&self) -> Result<PathBuf> {
        if !self.is_of_a_mesh() {
            bail!(
                "{} is a client's folder, which no mesh reads: give this command in the mesh's own \
                 folder, or name a list with --list",
                self.path.display()
            );
        }
        let denied = self.path.join(DENIED_FILE);
        refuse_lost(&denied)?;
        Ok(denied)
    }

    /// What a process that shows a certificate of this folder denies.
    fn denied(&self) -> Result<Option<PathBuf>> {
        if self.is_of_a_mesh() {
            return self.list_of_denied().map(Some);
        }
        Ok(Some(self.path.join(DENIED_FILE)).filter(|denied| denied.exists()))
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
            trust: self.authority_folder().join(CA_CERTIFICATE_FILE),
            denied: self.denied()?,
            crls: Vec::new(),
        };
        Tls::from_files(files).with_context(|| format!("cannot use the certificate of {name}"))
    }

    /// The names that there are certificates for.
    pub(crate) fn identities(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.certificates())? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".crt.pem"));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The authority of the mesh, to issue certificates with.
    pub(crate) fn authority(&self) -> Result<Ca> {
        if !self.is_of_a_mesh() {
            bail!(
                "{} has no authority's key: certificates are issued in the mesh's own folder",
                self.path.display()
            );
        }
        Ok(Ca::load(&self.authority_folder())?)
    }

    /// Keeps a certificate and its key under `name`.
    pub(crate) fn keep(&self, name: &str, issued: &Issued) -> Result<IssuedPaths> {
        Ok(issued.write_to(&self.certificates(), name)?)
    }

    /// The folder at `path` for a client of this mesh, which reaches the services at `host` if that
    /// is given. It has no certificate yet.
    pub(crate) fn make_client(&self, path: &Path, host: Option<&str>) -> Result<Self> {
        let client = Self::at(path);
        let trust = client.authority_folder().join(CA_CERTIFICATE_FILE);
        let ours = std::fs::read(self.authority_folder().join(CA_CERTIFICATE_FILE))?;
        if trust.exists() && !self.shares_an_authority(&trust)? {
            bail!(
                "{} belongs to another mesh; name another folder with --out",
                path.display()
            );
        }
        std::fs::create_dir_all(client.authority_folder())
            .and_then(|()| std::fs::write(&trust, ours))
            .with_context(|| format!("cannot write {}", trust.display()))?;
        let mut addresses = BTreeMap::new();
        for service in Service::ALL {
            let address = self.address(service)?;
            let port = address.rsplit(':').next().unwrap_or_default();
            let seen = host.map(|host| format!("{host}:{port}"));
            addresses.insert(service, seen.unwrap_or(address));
        }
        client.write_addresses(&addresses)?;
        Ok(client)
    }

    /// The same with its databases on `server`, or in files if there is none. Refused if they are elsewhere.
    pub fn with_databases(self, server: Option<DatabaseServer>) -> Result<Self> {
        let databases = Databases::of(&self.path, server)?;
        Ok(Self { databases, ..self })
    }

    /// Makes databases that are missing on a server, where they may be made. To be called before a service
    /// is started.
    pub async fn make_databases(&self) -> Result<()> {
        if self.create {
            self.databases.make().await?;
        }
        Ok(())
    }

    /// The database of a service. It may be made in a folder that was made just now.
    #[must_use]
    pub fn database(&self, service: Service) -> Database {
        Database {
            url: self.databases.url(service.name()),
            create: self.create,
        }
    }

    /// That of its audit.
    #[must_use]
    pub fn audit_database(&self, service: Service) -> Database {
        mesh_audit::beside(&self.database(service))
    }

    /// Claims the folder for the one mesh that may run in it, for as long as the file is held.
    pub fn claim(&self) -> Result<File> {
        let path = self.path.join("mesh.lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "a mesh runs already in {}; stop it, or name another folder with --home",
                    self.path.display()
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
        let path = self.path.join(ADDRESSES);
        // Whoever reads it meanwhile finds the old one or the new one, and never half of it.
        let fresh = self.path.join("addresses.json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(&named)?)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Where a service listens.
    pub fn address(&self, service: Service) -> Result<String> {
        let path = self.path.join(ADDRESSES);
        let hint = if self.is_prepared() {
            "`mp169 prepare` writes it"
        } else {
            "is `mp169 up` running?"
        };
        let text = std::fs::read(&path)
            .with_context(|| format!("cannot read {}; {hint}", path.display()))?;
        let named: BTreeMap<String, String> = serde_json::from_slice(&text)?;
        let address = named.get(service.name());
        address
            .cloned()
            .with_context(|| format!("{} does not list {}", path.display(), service.name()))
    }
}
