//! `mp169 prepare`: what services need that run apart.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_authz::{Identity, InternalRole};
use mesh_pki::{CA_CERTIFICATE_FILE, Issued, IssuedPaths, Profile, Validity};
use mesh_rpc::{CertificateId, Denied, DenyList, not_after};
use mesh_types::{Clock as _, SystemClock};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::cli::prepare::PrepareArgs;
use crate::databases::names_of;
use crate::denied::{self, DENIED_FILE, HEADER};
use crate::home::Folder;
use crate::output::{complain, say};
use crate::replace::{beside, replace};
use crate::service::Service;

const DAY: Duration = Duration::from_secs(86_400);
/// The role that owns the databases, and the name of the server's certificate.
const OWNER: &str = "postgres";

/// Fills the folders with what is missing in them, or ends soon.
pub(crate) fn run(args: &PrepareArgs) -> Result<()> {
    let mut site = Site {
        args,
        folder: Folder::open_or_make(&args.home)?,
        validity: Validity::starting_now(&SystemClock, DAY.saturating_mul(args.days)),
        denied: DenyList::default(),
    };
    site.addresses()?;
    site.trust()?;
    site.denied = denied::read(&args.home.join(DENIED_FILE))?;
    site.server()?;
    for service in Service::ALL {
        site.service(service)?;
    }
    Ok(())
}

struct Site<'a> {
    args: &'a PrepareArgs,
    folder: Folder,
    validity: Validity,
    /// What all deny.
    denied: DenyList,
}

impl Site<'_> {
    /// Each service at the host of its own name.
    fn addresses(&self) -> Result<()> {
        let mut addresses = BTreeMap::new();
        for (index, service) in (0..).zip(Service::ALL) {
            let port = self.args.port.checked_add(index);
            let port = port.context("the ports run past 65535")?;
            addresses.insert(service, format!("{}:{port}", service.name()));
        }
        self.folder.write_addresses(&addresses)
    }

    fn trust(&self) -> Result<()> {
        let ours = self.args.home.join("authority").join(CA_CERTIFICATE_FILE);
        let trusted = self.args.trust.join(CA_CERTIFICATE_FILE);
        let text = fs::read_to_string(&ours);
        let text = text.with_context(|| format!("cannot read {}", ours.display()))?;
        keep(&trusted, &text, 0o644)?;
        // There are two while the authority changes.
        if fs::read_to_string(&trusted).is_ok_and(|there| there != text) {
            let written = replace(&trusted, &text);
            written.with_context(|| format!("cannot write {}", trusted.display()))?;
        }
        self.denied()
    }

    /// The list that the services read is the one of the home, which is changed by the client's commands.
    fn denied(&self) -> Result<()> {
        let ours = self.args.home.join(DENIED_FILE);
        let theirs = std::path::absolute(self.args.trust.join(DENIED_FILE))?;
        if ours.is_symlink() {
            return keep(&theirs, HEADER, 0o644);
        }
        let text = fs::read_to_string(&ours);
        let text = text.with_context(|| format!("cannot read {}", ours.display()))?;
        keep(&theirs, &text, 0o644)?;
        let (denied, known) = (denied::read(&ours)?, denied::read(&theirs)?);
        let known: Vec<_> = known.entries().iter().map(|entry| &entry.denied).collect();
        if denied
            .entries()
            .iter()
            .any(|entry| !known.contains(&&entry.denied))
        {
            bail!(
                "{} denies what {} does not: copy its entries there, and give the command again",
                ours.display(),
                theirs.display()
            );
        }
        let linked = link(&theirs, &ours);
        linked.with_context(|| format!("cannot make {} a link", ours.display()))
    }

    fn server(&self) -> Result<()> {
        let folder = &self.args.server;
        let roles = Service::ALL.map(Service::name);
        for role in roles.into_iter().chain([OWNER]) {
            keep(&folder.join(format!("{role}.password")), &secret(), 0o600)?;
        }
        keep(
            &folder.join("database-server.url"),
            &self.url(OWNER, "")?,
            0o600,
        )?;
        let profile = Profile {
            common_name: Some(OWNER.to_owned()),
            names: vec![self.args.server_host.clone(), "localhost".to_owned()],
            ..Profile::default()
        };
        self.certificate(folder, OWNER, || {
            Ok(self.folder.authority()?.issue(&profile, self.validity)?)
        })
    }

    fn service(&self, service: Service) -> Result<()> {
        let name = service.name();
        let folder = self.args.services.join(name);
        let role = InternalRole::from_spiffe_path(name).context("a service is an internal role")?;
        self.certificate(&folder, name, || {
            let authority = self.folder.authority()?;
            self.folder.issue_internal(&authority, role, self.validity)
        })?;
        self.warn_if_denied_itself(role);
        for database in names_of(service) {
            let what = if database == name { "" } else { "audit-" };
            let path = folder.join(format!("{what}database.url"));
            keep(&path, &self.url(name, &database)?, 0o600)?;
        }
        Ok(())
    }

    /// A new certificate does not help whoever is denied with all certificates.
    fn warn_if_denied_itself(&self, role: InternalRole) {
        let itself = Denied::Identity(Identity::Internal(role));
        let mut entries = self.denied.entries().iter();
        if entries.any(|entry| entry.denied == itself) {
            complain(&format_args!(
                "{role}: is denied whichever certificate it shows; `mp169 certificate restore --identity {role}` \
                 lets it in again"
            ));
        }
    }

    /// Of a database, or of the server if the name is empty.
    fn url(&self, role: &str, database: &str) -> Result<String> {
        let path = self.args.server.join(format!("{role}.password"));
        let password = fs::read_to_string(&path);
        let password = password.with_context(|| format!("cannot read {}", path.display()))?;
        let (host, password) = (&self.args.server_host, password.trim_end());
        let trusted = self.args.trust.join(CA_CERTIFICATE_FILE);
        let trusted = trusted.display();
        Ok(format!(
            "postgres://{role}:{password}@{host}/{database}?sslmode=verify-full&sslrootcert={trusted}\n"
        ))
    }

    fn certificate(
        &self,
        folder: &Path,
        name: &str,
        issue: impl FnOnce() -> Result<Issued>,
    ) -> Result<()> {
        let paths = IssuedPaths::of(folder, name);
        let soon = DAY.saturating_mul(self.args.renew_before);
        if self.holds(&paths, soon)? {
            say(&format_args!("{name}: its certificate holds"));
            return Ok(());
        }
        issue()?.write_to(folder, name)?;
        say(&format_args!("{name}: a certificate was issued"));
        Ok(())
    }

    /// Whether there is a certificate of the authority that issues now, which holds for longer than `soon` and
    /// is not denied, and its key.
    fn holds(&self, paths: &IssuedPaths, soon: Duration) -> Result<bool> {
        let Ok(leaf) = CertificateDer::from_pem_file(&paths.certificate) else {
            return Ok(false);
        };
        let authority = self.folder.authority()?;
        let authority = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes())?;
        let issuer = |der: &CertificateDer<'_>| CertificateId::of(der).map(|id| id.issuer);
        let is_denied =
            CertificateId::of(&leaf).is_some_and(|id| self.denied.judge(&id, None).is_some());
        let limit = SystemClock.now().saturating_add(soon);
        Ok(paths.key.exists()
            && !is_denied
            && issuer(&leaf) == issuer(&authority)
            && not_after(&leaf).is_some_and(|end| end > limit))
    }
}

/// 256 bits that nobody guesses, in letters that need no escaping.
fn secret() -> String {
    let octets: [u8; 32] = rand::random();
    format!("{}\n", hex::encode(octets))
}

/// Writes a file that is not there yet.
fn keep(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match open_new(path, mode) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            opened => opened.and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            }),
        }
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes `path`, which is there, a link to `target`.
#[cfg(unix)]
fn link(target: &Path, path: &Path) -> std::io::Result<()> {
    let fresh = beside(path, "new");
    std::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(fresh, path)
}

/// Elsewhere the list in the home stays one of its own: the client's commands take `--list`.
#[cfg(not(unix))]
fn link(_target: &Path, _path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn open_new(path: &Path, mode: u32) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// Elsewhere the folder's own permissions apply.
#[cfg(not(unix))]
fn open_new(path: &Path, _mode: u32) -> std::io::Result<fs::File> {
    fs::File::create_new(path)
}
