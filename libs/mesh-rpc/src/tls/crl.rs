//! What do authorities say that they revoked?
//!
//! rustls judges by certificate revocation lists (RFC 5280): it finds the list of a certificate's
//! issuer and checks its signature. Here is only checked what would turn a bad file into an outage:
//! rustls refuses every certificate of an authority whose list has a bad signature. It knows the
//! authority of a list by its name alone, so a list must fit every trusted one of that name.

use std::cmp::Reverse;
use std::sync::Arc;

use mesh_types::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::source::{CrlError, Parts};

/// The lists in one file.
#[derive(Debug)]
pub(super) struct CrlFile {
    pub(super) octets: Vec<u8>,
    lists: Vec<Crl>,
}

/// One list.
#[derive(Debug)]
struct Crl {
    der: CertificateRevocationListDer<'static>,
    /// When it was made, in seconds since 1970.
    made: i64,
    /// When its successor was promised for.
    ends: Option<i64>,
    revoked: usize,
}

impl CrlFile {
    /// Reads a file, as PEM if it looks like it and otherwise as DER. Of the authorities those are
    /// known that we trust; one in between is not known before it is shown.
    pub(super) fn read(octets: Vec<u8>, parts: &Parts) -> Result<Self, CrlError> {
        let lists: Vec<_> = if octets.windows(10).any(|part| part == b"-----BEGIN") {
            CertificateRevocationListDer::pem_slice_iter(&octets)
                .collect::<Result<_, _>>()
                .map_err(|_| CrlError::Form)?
        } else {
            vec![CertificateRevocationListDer::from(octets.clone())]
        };
        let is_list = |list: &CertificateRevocationListDer<'_>| {
            let read = CertificateRevocationList::from_der(list);
            read.is_ok_and(|(rest, _)| rest.is_empty())
        };
        if lists.is_empty() || !lists.iter().all(is_list) {
            return Err(CrlError::Form);
        }
        // rustls says what it can use.
        parts
            .caller_verifier(&Arc::default(), lists.clone())
            .map_err(|_| CrlError::Kind)?;
        let lists = lists
            .into_iter()
            .map(|der| Crl::read(der, &parts.authorities));
        Ok(Self {
            lists: lists.collect::<Result<_, _>>()?,
            octets,
        })
    }

    /// Whether its lists fit other authorities than those that it was read with.
    pub(super) fn fits(&self, authorities: &[CertificateDer<'_>]) -> Result<(), CrlError> {
        self.lists.iter().try_for_each(|list| {
            let (_, list) =
                CertificateRevocationList::from_der(&list.der).map_err(|_| CrlError::Form)?;
            signed_by_all(&list, authorities)
        })
    }

    /// How many certificates its lists revoke.
    pub(super) fn revoked(&self) -> usize {
        self.lists.iter().map(|list| list.revoked).sum()
    }

    /// Whether a list should have had a successor by now.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        let now = now.micros() / 1_000_000;
        self.lists
            .iter()
            .any(|list| list.ends.is_some_and(|ends| ends < now))
    }

    /// The lists of all files, the newest first: rustls asks the first that its issuer made.
    pub(super) fn lists(files: &[Arc<Self>]) -> Vec<CertificateRevocationListDer<'static>> {
        let mut lists: Vec<&Crl> = files.iter().flat_map(|file| &file.lists).collect();
        lists.sort_by_key(|list| Reverse(list.made));
        lists.into_iter().map(|list| list.der.clone()).collect()
    }
}

impl Crl {
    fn read(
        der: CertificateRevocationListDer<'static>,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, CrlError> {
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| CrlError::Form)?;
        signed_by_all(&list, authorities)?;
        let (made, ends) = (list.last_update().timestamp(), list.next_update());
        let (ends, revoked) = (
            ends.map(|ends| ends.timestamp()),
            list.iter_revoked_certificates().count(),
        );
        Ok(Self {
            made,
            ends,
            revoked,
            der,
        })
    }
}

/// Whether those of the authorities that have the name of the list's issuer signed it.
fn signed_by_all(
    list: &CertificateRevocationList<'_>,
    authorities: &[CertificateDer<'_>],
) -> Result<(), CrlError> {
    let signed = authorities
        .iter()
        .filter_map(|authority| X509Certificate::from_der(authority).ok())
        .filter(|(_, authority)| authority.subject() == list.issuer())
        .map(|(_, authority)| list.verify_signature(authority.public_key()).is_ok());
    let signed: Vec<_> = signed.collect();
    match (signed.contains(&true), signed.contains(&false)) {
        (_, false) => Ok(()),
        (false, true) => Err(CrlError::Signature),
        (true, true) => Err(CrlError::OneOfTwo),
    }
}
