//! Which identity does a certificate carry?
//!
//! Trust has been decided in the handshake. Here the leaf is read, and it must carry exactly one
//! identity: an organisation's EUI-64 in its subject, or one SPIFFE URI of the mesh's trust domain.

use std::fmt;

use mesh_authz::{Identity, InternalRole};
use mesh_types::{EntityId, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::AttributeTypeAndValue;

use crate::issuer::IssuerName;
use crate::serial::SerialNumber;

/// The trust domain of the mesh: the authority part of every SPIFFE identity in it.
pub const TRUST_DOMAIN: &str = "mp169.example";

/// `x500UniqueIdentifier`
const UNIQUE_IDENTIFIER: Oid<'static> = oid!(2.5.4.45);

/// Why a trusted certificate gives no identity. The texts are shown to its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It belongs to an authority, not to a peer.
    #[error("the certificate is an authority's")]
    Authority,
    /// Neither an organisation's identifier nor a URI.
    #[error("the certificate carries no identity")]
    None,
    /// More than one identifier or URI, or one of each.
    #[error("the certificate carries more than one identity")]
    Several,
    /// `x500UniqueIdentifier` is not an EUI-64.
    #[error("the unique identifier in the certificate's subject is not an EUI-64")]
    EntityIdentifier,
    /// There is not exactly one `OU` of two hex digits.
    #[error("the certificate's subject has no role code: one OU of two hex digits")]
    RoleCode,
    /// The URI is not a SPIFFE identity of this trust domain.
    #[error("the certificate's URI is not in the trust domain of the mesh")]
    TrustDomain,
    /// The SPIFFE path names no role of the mesh.
    #[error("the certificate's URI names no role of the mesh")]
    Role,
}

/// Which certificate it is: no authority gives a serial number twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateId {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The authority that issued it.
    pub issuer: IssuerName,
}

impl CertificateId {
    /// Reads a certificate in DER form; `None` if it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            serial: SerialNumber::from_octets(certificate.raw_serial()),
            issuer: IssuerName::of(certificate.issuer()),
        })
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial number {} of {}", self.serial, self.issuer)
    }
}

/// The name of the holder of a certificate in DER form: of an authority, what it issues under.
pub(crate) fn subject_of(der: &[u8]) -> Option<IssuerName> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(IssuerName::of(certificate.subject()))
}

/// Reads the identity from a peer's certificate in DER form.
pub fn identity_of(der: &[u8]) -> Result<Identity, IdentityError> {
    let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    if leaf.is_ca() {
        return Err(IdentityError::Authority);
    }
    let identifiers: Vec<_> = leaf.subject().iter_by_oid(&UNIQUE_IDENTIFIER).collect();
    let uris = uris(&leaf)?;
    match (identifiers.as_slice(), uris.as_slice()) {
        ([], []) => Err(IdentityError::None),
        ([identifier], []) => organisation(&leaf, identifier),
        ([], [uri]) => internal(uri),
        _ => Err(IdentityError::Several),
    }
}

/// When the certificate ends; `None` if it cannot be read.
pub fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    Some(instant(leaf.validity().not_after))
}

/// When the certificate begins; `None` if it cannot be read.
pub(crate) fn not_before(der: &[u8]) -> Option<Timestamp> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    Some(instant(leaf.validity().not_before))
}

fn instant(at: ASN1Time) -> Timestamp {
    Timestamp::from_micros(at.timestamp().saturating_mul(1_000_000))
}

fn uris<'a>(leaf: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, IdentityError> {
    let names = leaf
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    Ok(names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect())
}

fn organisation(
    leaf: &X509Certificate<'_>,
    identifier: &AttributeTypeAndValue<'_>,
) -> Result<Identity, IdentityError> {
    let mut units = leaf.subject().iter_organizational_unit();
    let (Some(unit), None) = (units.next(), units.next()) else {
        return Err(IdentityError::RoleCode);
    };
    let code = unit.as_str().map_err(|_| IdentityError::RoleCode)?;
    if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(IdentityError::RoleCode);
    }
    entity(identifier)
        .map(Identity::Organisation)
        .ok_or(IdentityError::EntityIdentifier)
}

/// The profile has a BIT STRING of 64 bits; some tools write the text form instead.
fn entity(identifier: &AttributeTypeAndValue<'_>) -> Option<EntityId> {
    if let Ok(text) = identifier.as_str() {
        return text.parse().ok();
    }
    let bit_string = 3;
    let value = identifier.attr_value();
    if value.tag().0 != bit_string {
        return None;
    }
    // The first octet counts unused bits; all 64 are used.
    let octets = value.data.strip_prefix(&[0])?;
    EntityId::from_slice(octets).ok()
}

fn internal(uri: &str) -> Result<Identity, IdentityError> {
    let path = uri
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(TRUST_DOMAIN))
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or(IdentityError::TrustDomain)?;
    InternalRole::from_spiffe_path(path)
        .map(Identity::Internal)
        .ok_or(IdentityError::Role)
}

#[cfg(test)]
mod tests;
