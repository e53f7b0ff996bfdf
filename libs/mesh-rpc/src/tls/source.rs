//! How do PEM texts become TLS configurations?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::verifiers::{CallerVerifier, ServiceVerifier};
use crate::deny_list::{DenyList, DenyListError};

/// HTTP/2. To callers and services it is the only protocol that is offered and accepted: gRPC is HTTP/2.
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// What browsers may speak besides.
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Where the three PEM texts stand, and what is not accepted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, followed by intermediate ones if there are any; peers accept four of them.
    pub certificate: PathBuf,
    /// Our private key (PKCS #8, SEC 1 or PKCS #1).
    pub key: PathBuf,
    /// The certificates of the authorities whose certificates we accept.
    pub trust: PathBuf,
    /// Which certificates and identities are denied, in the form of [`DenyList`]; nobody is if no
    /// file is named. One that is named must be there, if only empty.
    pub denied: Option<PathBuf>,
    /// Certificate revocation lists of authorities (RFC 5280), PEM or DER. Each file must be there.
    /// An authority that has none here revokes nothing.
    pub crls: Vec<PathBuf>,
}

/// The three PEM texts themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsPem {
    /// Our certificate, followed by intermediate ones if there are any; peers accept four of them.
    pub certificate: String,
    /// Our private key (PKCS #8, SEC 1 or PKCS #1).
    pub key: String,
    /// The certificates of the authorities whose certificates we accept.
    pub trust: String,
}

/// Why certificate, key and trusted authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A text is not PEM, or holds nothing of its kind.
    #[error("the {0} is not PEM, or holds none")]
    Pem(&'static str),
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Certificate(rustls::Error),
    /// The trusted authorities cannot be used.
    #[error("the trusted authorities cannot be used: {0}")]
    Trust(String),
    /// The deny-list cannot be read as one.
    #[error("the deny-list cannot be used: {0}")]
    Denied(#[from] DenyListError),
    /// A file of revocation lists cannot be used, or should have been replaced.
    #[error("{path}: {problem}")]
    Crl {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CrlError,
    },
}

/// What is wrong with a file of revocation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Neither PEM nor DER of revocation lists.
    #[error("it holds no revocation list in PEM or DER form")]
    Form,
    /// It names a trusted authority as its issuer, and that did not sign it.
    #[error("a revocation list is not signed by the authority that it names")]
    Signature,
    /// Two authorities of one name are trusted, and one of them signed it. All certificates of the
    /// other would be refused.
    #[error(
        "two trusted authorities have the name that a revocation list is issued under, and only one of them signed it: \
         a name can have lists only while one key is trusted under it"
    )]
    OneOfTwo,
    /// A delta or indirect list, or one with a part that must be understood and is not.
    #[error("a revocation list is of a kind that is not supported")]
    Kind,
    /// The time is over for which its successor was promised. It stays in use.
    #[error("a revocation list has ended, and there is no later one; what it lists stays refused")]
    Ended,
}

impl std::fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPem")
            .field("certificate", &self.certificate)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<TlsPem, TlsError> {
        Ok(TlsPem {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            trust: read(&self.trust)?,
        })
    }

    /// The octets of a file.
    pub(super) fn octets(path: &Path) -> Result<Vec<u8>, TlsError> {
        std::fs::read(path).map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// The text of the deny-list; empty if no file is named.
    pub(super) fn read_denied(&self) -> Result<String, TlsError> {
        self.denied.as_deref().map_or(Ok(String::new()), read)
    }
}

fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// The texts, taken apart.
pub(super) struct Parts {
    provider: Arc<CryptoProvider>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    trust: Arc<RootCertStore>,
    /// The same as the certificates that they were made of.
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

impl Parts {
    pub(super) fn read(pem: &TlsPem) -> Result<Self, TlsError> {
        let mut trust = RootCertStore::empty();
        let authorities = certificates(&pem.trust, "trust file")?;
        for authority in &authorities {
            trust
                .add(authority.clone())
                .map_err(|error| TlsError::Trust(error.to_string()))?;
        }
        Ok(Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            chain: certificates(&pem.certificate, "certificate file")?,
            key: PrivateKeyDer::from_pem_slice(pem.key.as_bytes())
                .map_err(|_| TlsError::Pem("key file"))?,
            trust: Arc::new(trust),
            authorities,
        })
    }

    /// For a server: callers may come without a certificate (the chain refuses them with a proper
    /// status), but one that they show must be of a trusted authority, in force and not denied.
    ///
    /// An authority without a list revokes nothing, and a list that has ended still holds: otherwise
    /// whoever keeps the next one from arriving would stop everybody.
    pub(super) fn caller_verifier(
        &self,
        denied: &Arc<DenyList>,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<CallerVerifier>, TlsError> {
        let trust =
            WebPkiClientVerifier::builder_with_provider(self.trust.clone(), self.provider.clone())
                .allow_unauthenticated()
                .allow_unknown_revocation_status()
                .with_crls(crls)
                .build()
                .map_err(|error| TlsError::Trust(error.to_string()))?;
        let denied = denied.clone();
        Ok(Arc::new(CallerVerifier { trust, denied }))
    }

    /// For a client: the same of what the server shows.
    pub(super) fn service_verifier(
        &self,
        denied: &Arc<DenyList>,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<ServiceVerifier>, TlsError> {
        let trust =
            WebPkiServerVerifier::builder_with_provider(self.trust.clone(), self.provider.clone())
                .allow_unknown_revocation_status()
                .with_crls(crls)
                .build()
                .map_err(|error| TlsError::Trust(error.to_string()))?;
        let denied = denied.clone();
        Ok(Arc::new(ServiceVerifier { trust, denied }))
    }

    pub(super) fn server_config(
        &self,
        verifier: Arc<CallerVerifier>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), time)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Certificate)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(TlsError::Certificate)?;
        config.alpn_protocols = Speaks::Grpc.protocols();
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    pub(super) fn client_config(
        &self,
        verifier: Arc<ServiceVerifier>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<ClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), time)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Certificate)?
            // rustls calls every verifier that is not its own dangerous: ours adds to its own.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(TlsError::Certificate)?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

/// What callers of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// gRPC, which is HTTP/2.
    Grpc,
    /// HTTP/2 or HTTP/1.1, as browsers do.
    Web,
}

impl Speaks {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Grpc => vec![ALPN_H2.to_vec()],
            Self::Web => vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()],
        }
    }

    /// The same configuration for callers that speak this.
    pub(super) fn in_place_of(self, config: &ServerConfig) -> ServerConfig {
        let mut config = config.clone();
        config.alpn_protocols = self.protocols();
        config
    }
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Pem(what)),
    }
}

#[cfg(test)]
mod tests {
    use mesh_types::SystemClock;

    use super::*;
    use crate::tls::open::ByClock;

    #[test]
    fn half_a_key_pair_and_empty_trust_are_refused() {
        let issued = mesh_testkit::certificates().internal("dsp");
        let other = mesh_testkit::certificates().internal("dsp");
        let good = TlsPem {
            certificate: issued.certificate_pem().to_owned(),
            key: issued.key_pem().to_owned(),
            trust: mesh_testkit::certificates().trust_pem().to_owned(),
        };
        let usable = |pem: &TlsPem| {
            let (parts, nobody) = (Parts::read(pem)?, Arc::default());
            let time = || Arc::new(ByClock(Arc::new(SystemClock)));
            parts.server_config(parts.caller_verifier(&nobody, Vec::new())?, time())?;
            parts
                .client_config(parts.service_verifier(&nobody, Vec::new())?, time())
                .map(|_| ())
        };
        usable(&good).unwrap();
        let with = |change: fn(&mut TlsPem, String), text: &str| {
            let mut pem = good.clone();
            change(&mut pem, text.to_owned());
            usable(&pem).unwrap_err().to_string()
        };
        let key = |pem: &mut TlsPem, text| pem.key = text;
        let certificate = |pem: &mut TlsPem, text| pem.certificate = text;
        let trust = |pem: &mut TlsPem, text| pem.trust = text;
        assert!(with(key, other.key_pem()).contains("cannot be used"));
        assert!(with(key, "").contains("key file"));
        assert!(with(key, &good.key[..good.key.len() / 2]).contains("key file"));
        assert!(with(certificate, &good.key).contains("certificate file"));
        assert!(with(trust, "").contains("trust file"));
        assert!(
            !format!("{good:?}").contains("PRIVATE"),
            "keys are not logged"
        );
    }
}
