//! The authority: makes itself, and issues certificates of either profile.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_types::EntityId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::subject::{ExchangingKey, Identifiers};
use crate::{PkiError, Validity, spiffe_uri};

/// A certificate authority with its key in memory.
pub struct Ca {
    certificate_pem: String,
    key: KeyPair,
}

/// What a certificate says about its holder.
///
/// [`Ca::issue_organisation`] and [`Ca::issue_internal`] fill it in as the mesh expects it; tests of
/// refusal fill it in otherwise: no identity, two URIs, both kinds, another trust domain.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Subject `CN`, if any.
    pub common_name: Option<String>,
    /// Subject `OU`, if any: an organisation's role code as two hex digits.
    pub organisational_unit: Option<String>,
    /// Entity Identifiers in the subject; an organisation has one.
    pub entities: Vec<EntityId>,
    /// URI subject alternative names; an internal role has one.
    pub uris: Vec<String>,
    /// Subject alternative names by which a server is reached: DNS names and IP addresses.
    pub names: Vec<String>,
}

/// A certificate with its private key, both in PEM form.
#[derive(Clone)]
pub struct Issued {
    certificate_pem: String,
    key_pem: String,
}

// === impl Ca ===

impl Ca {
    /// A new authority with a new P-256 key and a self-signed certificate.
    pub fn new(name: &str, validity: Validity) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(validity)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate_pem,
            key,
        })
    }

    /// The authority whose key this is, and whose certificate is among these; others may be trusted beside
    /// it.
    pub fn from_pem(certificates_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem)?;
        let own = key.subject_public_key_info();
        let certificates = CertificateDer::pem_slice_iter(certificates_pem.as_bytes());
        let certificate = certificates.filter_map(Result::ok).find(|der| {
            let read = X509Certificate::from_der(der);
            read.is_ok_and(|(_, certificate)| certificate.public_key().raw == own)
        });
        let certificate = certificate.ok_or(PkiError::NotItsKey)?;
        let certificate_pem = pem("CERTIFICATE", &certificate);
        Issuer::from_ca_cert_pem(&certificate_pem, &key)?;
        Ok(Self {
            certificate_pem,
            key,
        })
    }

    /// The certificate that peers trust, in PEM form.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A certificate with the subject profile of an SMKI Organisation certificate, for client and
    /// server use. `role_code` is the Remote Party Role Code (2 is a supplier).
    pub fn issue_organisation(
        &self,
        entity: EntityId,
        role_code: u8,
        name: &str,
        validity: Validity,
    ) -> Result<Issued, PkiError> {
        let profile = Profile {
            common_name: Some(name.to_owned()),
            organisational_unit: Some(format!("{role_code:02X}")),
            entities: vec![entity],
            ..Profile::default()
        };
        self.issue(&profile, validity)
    }

    /// A certificate of an internal role: `spiffe://mp169.example/<role>`, for client and server
    /// use. A server needs the DNS names and IP addresses by which it is reached in `names`.
    pub fn issue_internal(
        &self,
        role: &str,
        names: &[&str],
        validity: Validity,
    ) -> Result<Issued, PkiError> {
        let profile = Profile {
            common_name: Some(role.to_owned()),
            uris: vec![spiffe_uri(role)],
            names: names.iter().map(|&name| name.to_owned()).collect(),
            ..Profile::default()
        };
        self.issue(&profile, validity)
    }

    /// A certificate that says exactly what `profile` says, with a new P-256 key and a random
    /// serial number.
    pub fn issue(&self, profile: &Profile, validity: Validity) -> Result<Issued, PkiError> {
        let mut params = profile.params(validity)?;
        let identifiers = Identifiers::prepare(&mut params, &profile.entities)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let signer = ExchangingKey {
            key: &self.key,
            identifiers: &identifiers,
        };
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, signer)?;
        let unfinished = params.signed_by(&key, &issuer)?;
        let der = identifiers.exchange(unfinished.der())?;
        Ok(Issued {
            certificate_pem: pem("CERTIFICATE", &der),
            key_pem: key.serialize_pem(),
        })
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

// === impl Profile ===

impl Profile {
    fn params(&self, validity: Validity) -> Result<CertificateParams, PkiError> {
        let mut params = params(validity)?;
        let subject = &mut params.distinguished_name;
        if let Some(name) = &self.common_name {
            subject.push(DnType::CommonName, name.as_str());
        }
        if let Some(unit) = &self.organisational_unit {
            subject.push(DnType::OrganizationalUnitName, unit.as_str());
        }
        for uri in &self.uris {
            let name = uri.as_str().try_into();
            let name = name.map_err(|_| PkiError::Name(uri.clone()))?;
            params.subject_alt_names.push(SanType::URI(name));
        }
        for name in &self.names {
            params.subject_alt_names.push(server_name(name)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Ok(params)
    }
}

fn params(validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    (params.not_before, params.not_after) = validity.bounds()?;
    params.serial_number = Some(random_serial());
    Ok(params)
}

/// 127 random bits: positive in DER, and never guessed.
fn random_serial() -> SerialNumber {
    let mut octets: [u8; 16] = rand::random();
    octets[0] &= 0x7F;
    SerialNumber::from_slice(&octets)
}

fn server_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let dns = name
        .try_into()
        .map_err(|_| PkiError::Name(name.to_owned()))?;
    Ok(SanType::DnsName(dns))
}

// === impl Issued ===

impl Issued {
    /// The certificate in PEM form. The authority issues it directly, so it is the whole chain.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM form (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate in DER form.
    #[must_use]
    pub fn certificate_der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .expect("the authority wrote this PEM itself")
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// RFC 7468 text: base64 in lines of 64 characters between the two markers.
fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
