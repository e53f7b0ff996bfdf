//! Is the certificate that a peer shows of a trusted authority, and not denied?
//!
//! A chain of a stranger costs a check of a signature for every certificate in it and more, so one that
//! is longer than any authority of ours needs is refused unread. rustls judges trust, time and use; then the deny-list is asked about every certificate that was
//! shown, so that a denied authority in between refuses all that it issued. The same is asked again
//! of connections that are open when a list changes.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::open::{Rejected, Shown, unix_time};
use crate::certificate::{CertificateId, identity_of};
use crate::deny_list::{Denied, DenyList};

/// Most certificates that a peer may show beside its own. An authority of a mesh has one or two in
/// between; rustls alone would look for a path through any number with up to a hundred signatures.
pub(super) const MOST_BETWEEN: usize = 4;

#[derive(Debug, thiserror::Error)]
#[error("the peer showed {0} certificates beside its own, and may show {MOST_BETWEEN}")]
struct TooMany(usize);

/// Judges callers, for a server.
#[derive(Debug)]
pub(super) struct CallerVerifier {
    pub(super) trust: Arc<dyn ClientCertVerifier>,
    pub(super) denied: Arc<DenyList>,
}

/// Judges services, for a client.
#[derive(Debug)]
pub(super) struct ServiceVerifier {
    pub(super) trust: Arc<WebPkiServerVerifier>,
    pub(super) denied: Arc<DenyList>,
}

/// What denies one of the certificates that a peer showed.
///
/// # Errors
/// If one of them cannot be read, and so cannot be judged.
fn denied(
    list: &DenyList,
    chain: &[CertificateDer<'_>],
) -> Result<Option<Denied>, CertificateError> {
    for certificate in chain {
        let id = CertificateId::of(certificate).ok_or(CertificateError::BadEncoding)?;
        let denied = list.judge(&id, identity_of(certificate).ok());
        if denied.is_some() {
            return Ok(denied);
        }
    }
    Ok(None)
}

impl Shown {
    /// Whether it stands in our list by now. What cannot be read was refused in the handshake.
    pub(super) fn denied(&self, list: &DenyList) -> Option<Rejected> {
        let denied = denied(list, &self.chain).ok()?;
        denied.map(Rejected::Denied)
    }

    /// Whether it stands in an authority's list by now, or its authority is trusted no more.
    pub(super) fn disowned(
        &self,
        callers: &CallerVerifier,
        services: &ServiceVerifier,
    ) -> Option<Rejected> {
        let (leaf, others) = self.chain.split_first()?;
        let at = unix_time(self.agreed.at);
        let judged = match &self.service {
            None => {
                let judged = callers.trust.verify_client_cert(leaf, others, at);
                judged.map(|_| ())
            }
            Some(name) => {
                let trust = &services.trust;
                let judged = trust.verify_server_cert(leaf, others, name, &[], at);
                judged.map(|_| ())
            }
        };
        match judged {
            Ok(()) => None,
            Err(Error::InvalidCertificate(CertificateError::Revoked)) => {
                Some(Rejected::Listed(CertificateId::of(leaf)))
            }
            // It was good in the handshake, and nothing but the trust has changed.
            Err(_) => Some(Rejected::Untrusted),
        }
    }
}

fn refuse_many(others: &[CertificateDer<'_>]) -> Result<(), Error> {
    match others.len() {
        0..=MOST_BETWEEN => Ok(()),
        many => Err(CertificateError::Other(OtherError(Arc::new(TooMany(many)))).into()),
    }
}

fn refuse_denied(
    list: &DenyList,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<(), Error> {
    for chain in [std::slice::from_ref(leaf), others] {
        if let Some(denied) = denied(list, chain)? {
            tracing::info!(%denied, "a peer showed a certificate that is denied");
            return Err(CertificateError::Revoked.into());
        }
    }
    Ok(())
}

impl ClientCertVerifier for CallerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.trust.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.trust.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        refuse_many(others)?;
        let verified = self.trust.verify_client_cert(leaf, others, now)?;
        refuse_denied(&self.denied, leaf, others)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.supported_verify_schemes()
    }
}

impl ServerCertVerifier for ServiceVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        refuse_many(others)?;
        let verified = self
            .trust
            .verify_server_cert(leaf, others, name, ocsp_response, now)?;
        refuse_denied(&self.denied, leaf, others)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn an_authority_that_is_denied_denies_what_it_issued() {
        let issued = mesh_testkit::certificates().internal("dsp");
        let leaf = CertificateDer::from_pem_slice(issued.certificate_pem().as_bytes()).unwrap();
        let between = mesh_testkit::Certificates::new("Issuing CA");
        let between = CertificateDer::from_pem_slice(between.trust_pem().as_bytes()).unwrap();
        let CertificateId { serial, issuer } = CertificateId::of(&between).unwrap();
        let list = format!("[[certificate]]\nserial = '{serial}'\nissuer = '{issuer}'\n");
        let list = DenyList::parse(&list).unwrap();
        let judged = |chain: &[CertificateDer<'_>]| denied(&list, chain).unwrap().is_some();
        assert!(!judged(std::slice::from_ref(&leaf)));
        assert!(judged(&[leaf.clone(), between.clone()]));
        assert!(refuse_denied(&list, &leaf, &[between]).is_err());
        assert!(denied(&list, &[b"no certificate"[..].into()]).is_err());
    }
}
