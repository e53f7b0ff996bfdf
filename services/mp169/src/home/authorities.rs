//! How does a mesh get another authority while it runs?
//!
//! In three steps, each of which leaves everybody able to talk to everybody. The new authority is trusted
//! beside the old one; then it issues; once all that show a certificate show one of it, the old one is
//! trusted no more. Each step exchanges one file at a time for whoever reads it meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};
use mesh_pki::{CA_CERTIFICATE_FILE, CA_KEY_FILE, Ca, Validity};
use mesh_types::{Clock as _, SystemClock, Timestamp};

use super::{AUTHORITY, Folder, VALIDITY};
use crate::issued::Known;
use crate::replace::replace;

/// What became of the trusted authorities.
pub(crate) struct Change {
    /// The file that names them.
    pub(crate) trust: PathBuf,
    /// Their certificates, the one that issues first.
    pub(crate) authorities: Vec<Known>,
}

impl Folder {
    fn trust(&self) -> PathBuf {
        self.authority_folder().join(CA_CERTIFICATE_FILE)
    }

    /// Where the new authority is until it issues.
    fn next_folder(&self) -> PathBuf {
        self.authority_folder().join("next")
    }

    /// Makes a new authority, which is trusted from now on beside those that are.
    pub(crate) fn add_authority(&self) -> Result<Change> {
        let present = self.authority()?;
        if self.next_folder().join(CA_KEY_FILE).exists() {
            bail!(
                "there is a new authority already, which issues nothing yet: `mp169 certificate authority use`"
            );
        }
        if self.authorities()?.len() > 1 {
            bail!(
                "an earlier authority is still trusted: `mp169 certificate authority drop` comes first"
            );
        }
        let made = jiff::Timestamp::from_microsecond(SystemClock.now().micros())?;
        let name = format!("{AUTHORITY} ({made:.0})");
        let next = Ca::new(&name, Validity::starting_now(&SystemClock, VALIDITY))?;
        // Before it is trusted, so that what is trusted is never without its key.
        next.write_to(&self.next_folder())?;
        self.trusting([present.certificate_pem(), next.certificate_pem()])
    }

    /// Has the new authority issue from now on. The key of the old one is gone then.
    pub(crate) fn use_authority(&self) -> Result<Change> {
        let (present, next) = (self.authority()?, self.next_folder());
        if !next.join(CA_KEY_FILE).exists() {
            bail!("there is no new authority: `mp169 certificate authority add`");
        }
        let issuing = Ca::load(&next)?;
        let change = self.trusting([issuing.certificate_pem(), present.certificate_pem()])?;
        fs::rename(
            next.join(CA_KEY_FILE),
            self.authority_folder().join(CA_KEY_FILE),
        )
        .and_then(|()| fs::remove_dir_all(&next))
        .with_context(|| format!("cannot move {}", next.display()))?;
        Ok(change)
    }

    /// Trusts only the authority that issues.
    pub(crate) fn drop_authorities(&self) -> Result<Change> {
        if self.next_folder().join(CA_KEY_FILE).exists() {
            bail!(
                "the new authority issues nothing yet: `mp169 certificate authority use` comes first"
            );
        }
        self.trusting([self.authority()?.certificate_pem()])
    }

    /// Whoever shows no certificate yet of the authority that issues: who is known by a name here and by
    /// none of its certificates.
    pub(crate) fn left_behind(&self) -> Result<Vec<String>> {
        let held = self.known()?;
        let authorities = self.authorities()?;
        let own = authorities.first().context("there is an authority")?;
        let by = |name: &str| {
            let kept = self.certificates().join(format!("{name}.crt.pem"));
            // What is shown here counts, whatever else was issued.
            match Known::read(&kept, name) {
                Ok(kept) => kept.id.issuer == own.id.issuer,
                Err(_) => held
                    .known
                    .iter()
                    .any(|known| known.name == name && known.id.issuer == own.id.issuer),
            }
        };
        let mut names: Vec<_> = held.known.iter().map(|known| known.name.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !by(name));
        Ok(names)
    }

    /// When a certificate, or what is trusted, was changed last.
    pub(crate) fn changed(&self) -> Result<Timestamp> {
        let mut last = fs::metadata(self.trust())?.modified()?;
        for entry in fs::read_dir(self.certificates())? {
            last = last.max(entry?.metadata()?.modified()?);
        }
        let micros = last.duration_since(UNIX_EPOCH)?.as_micros();
        Ok(Timestamp::from_micros(i64::try_from(micros)?))
    }

    /// Whether a file of trusted authorities has one of ours.
    pub(super) fn shares_an_authority(&self, trust: &Path) -> Result<bool> {
        let (ours, theirs) = (self.authorities()?, Known::read_all(trust)?);
        Ok(theirs
            .iter()
            .any(|one| ours.iter().any(|own| own.id == one.id)))
    }

    fn trusting<'a>(&self, certificates: impl IntoIterator<Item = &'a str>) -> Result<Change> {
        let trust = self.trust();
        let text: String = certificates.into_iter().collect();
        replace(&trust, &text).with_context(|| format!("cannot write {}", trust.display()))?;
        let authorities = self.authorities()?;
        Ok(Change { trust, authorities })
    }
}
