//! The last good texts, and what is made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_types::{Clock, Timestamp};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::CertificateDer;

use super::crl::CrlFile;
use super::metrics::Entries;
use super::open::{Agreed, ByClock, Rejected, Shown};
use super::source::{CrlError, Parts, Speaks, TlsError, TlsFiles, TlsPem};
use super::verifiers::{CallerVerifier, MOST_BETWEEN, ServiceVerifier};
use crate::certificate::{CertificateId, not_after, subject_of};
use crate::deny_list::{Denied, DenyList};

/// The last good texts.
#[derive(Clone)]
pub(super) struct Texts {
    pub(super) pem: TlsPem,
    pub(super) denied: Arc<str>,
    pub(super) deny_list: Arc<DenyList>,
    crls: Vec<Arc<CrlFile>>,
}

/// What was made of them.
pub(super) struct Material {
    pub(super) generation: u64,
    pub(super) texts: Texts,
    pub(super) callers: Arc<CallerVerifier>,
    services: Arc<ServiceVerifier>,
    own_end: Option<Timestamp>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) web: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Texts {
    /// Nobody is denied yet.
    pub(super) fn of(pem: TlsPem) -> Self {
        Self {
            pem,
            denied: Arc::default(),
            deny_list: Arc::default(),
            crls: Vec::new(),
        }
    }

    pub(super) fn take_denied(&mut self, text: String) -> Result<(), TlsError> {
        self.deny_list = Arc::new(DenyList::parse(&text)?);
        self.denied = text.into();
        Ok(())
    }

    /// Reads one more file of revocation lists.
    pub(super) fn add_crl(&mut self, path: &Path) -> Result<(), TlsError> {
        let file = self.read_crl(path, TlsFiles::octets(path)?)?;
        self.crls.push(file);
        Ok(())
    }

    /// Exchanges a file; says how many certificates it revokes.
    pub(super) fn take_crl(
        &mut self,
        index: usize,
        path: &Path,
        octets: Vec<u8>,
    ) -> Result<usize, TlsError> {
        self.crls[index] = self.read_crl(path, octets)?;
        Ok(self.crls[index].revoked())
    }

    fn read_crl(&self, path: &Path, octets: Vec<u8>) -> Result<Arc<CrlFile>, TlsError> {
        let read = CrlFile::read(octets, &Parts::read(&self.pem)?);
        read.map(Arc::new)
            .map_err(|problem| crl_error(path, problem))
    }

    /// Takes another certificate, key and trusted authorities, and with them the lists in the files
    /// at `crls`, which may have come together with an authority. A file that does not fit leaves its
    /// last good lists in use, if those do.
    ///
    /// Lists that do not fit would have rustls refuse everybody of their authority.
    pub(super) fn take_pem(&mut self, pem: TlsPem, crls: &[PathBuf]) -> Result<(), TlsError> {
        if pem.trust != self.pem.trust {
            let parts = Parts::read(&pem)?;
            for (path, in_use) in crls.iter().zip(&mut self.crls) {
                let octets = TlsFiles::octets(path).ok();
                match octets.and_then(|octets| CrlFile::read(octets, &parts).ok()) {
                    Some(file) => *in_use = Arc::new(file),
                    None => in_use
                        .fits(&parts.authorities)
                        .map_err(|problem| crl_error(path, problem))?,
                }
            }
        }
        self.pem = pem;
        Ok(())
    }

    /// Whether these are the octets of a file in use.
    pub(super) fn holds_crl(&self, index: usize, octets: &[u8]) -> bool {
        self.crls[index].octets == octets
    }

    /// That a file in use should have been replaced by now.
    pub(super) fn ended_crl(&self, index: usize, path: &Path, now: Timestamp) -> Option<TlsError> {
        let ended = self.crls[index].has_ended(now);
        ended.then(|| crl_error(path, CrlError::Ended))
    }

    pub(super) fn revoked(&self) -> Entries {
        Entries {
            denied: self.deny_list.entries().len(),
            listed: self.revoked_by_file().sum(),
        }
    }

    /// How many certificates each file of revocation lists revokes.
    pub(super) fn revoked_by_file(&self) -> impl Iterator<Item = usize> {
        self.crls.iter().map(|crl| crl.revoked())
    }
}

impl Material {
    /// Whether what a peer showed is accepted no more. Its authority is asked about if it may have
    /// left, or said more, since the generation `judged`: that costs the check of a signature or two.
    pub(super) fn rejected(&self, shown: &Shown, judged: u64) -> Option<Rejected> {
        let denied = shown.denied(&self.texts.deny_list);
        let as_before = self.generation == judged && self.texts.crls.is_empty();
        if denied.is_some() || as_before {
            return denied;
        }
        shown.disowned(&self.callers, &self.services)
    }

    /// What a handshake goes by that begins now.
    pub(super) fn agreed(&self, at: Timestamp) -> Agreed {
        Agreed {
            generation: self.generation,
            at,
            own_end: self.own_end,
        }
    }

    /// When our own certificate ends.
    pub(super) const fn own_end(&self) -> Option<Timestamp> {
        self.own_end
    }

    pub(super) fn read(
        texts: Texts,
        generation: u64,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let parts = Parts::read(&texts.pem)?;
        let crls = CrlFile::lists(&texts.crls);
        warn_of_strangers(&texts.deny_list, &parts);
        let callers = parts.caller_verifier(&texts.deny_list, crls.clone())?;
        let services = parts.service_verifier(&texts.deny_list, crls)?;
        let time = Arc::new(ByClock(clock.clone()));
        let server = parts.server_config(callers.clone(), time.clone())?;
        let material = Self {
            generation,
            texts,
            web: Arc::new(Speaks::Web.in_place_of(&server)),
            server: Arc::new(server),
            client: Arc::new(parts.client_config(services.clone(), time)?),
            callers,
            services,
            own_end: parts.chain.first().and_then(|leaf| not_after(leaf)),
        };
        let own = Shown::by_caller(Some(&parts.chain), material.agreed(clock.now()));
        if let Some(revoked) = material.rejected(&own, generation) {
            tracing::error!(%revoked, "our own certificate is revoked: others will refuse it");
        }
        let beside = parts.chain.len().saturating_sub(1);
        if beside > MOST_BETWEEN {
            tracing::error!(
                beside,
                "more certificates beside our own than others will accept"
            );
        }
        Ok(material)
    }
}

/// A name that is misspelt denies nobody, and says nothing by itself.
fn warn_of_strangers(list: &DenyList, parts: &Parts) {
    let authorities = parts.authorities.iter();
    let trusted: Vec<_> = authorities.filter_map(|der| subject_of(der)).collect();
    for entry in list.entries() {
        if let Denied::Certificate(id) = &entry.denied
            && !trusted.contains(&id.issuer)
        {
            tracing::warn!(%id, "denied, but of no authority that is trusted itself");
        }
    }
    for id in denied_in_vain(list, &parts.authorities) {
        tracing::error!(
            %id,
            "this entry denies nobody, it is a trusted authority: take it out of the trusted ones"
        );
    }
}

/// The trusted authorities that are denied. Peers do not show them, so that nobody looks them up.
fn denied_in_vain(list: &DenyList, authorities: &[CertificateDer<'_>]) -> Vec<CertificateId> {
    let authorities = authorities.iter();
    let ids = authorities.filter_map(|authority| CertificateId::of(authority));
    ids.filter(|id| list.judge(id, None).is_some()).collect()
}

fn crl_error(path: &Path, problem: CrlError) -> TlsError {
    TlsError::Crl {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use mesh_testkit::{certificates, other_certificates};
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_trusted_authority_is_denied_in_vain() {
        let [denied, other] = [certificates(), other_certificates()].map(|authority| {
            CertificateDer::from_pem_slice(authority.trust_pem().as_bytes()).unwrap()
        });
        let id = CertificateId::of(&denied).unwrap();
        let CertificateId { serial, issuer } = &id;
        let list = format!("[[certificate]]\nserial = '{serial}'\nissuer = '{issuer}'\n");
        let list = DenyList::parse(&list).unwrap();
        assert_eq!(denied_in_vain(&list, &[other.clone(), denied]), [id]);
        assert_eq!(denied_in_vain(&list, &[other]), []);
    }
}
