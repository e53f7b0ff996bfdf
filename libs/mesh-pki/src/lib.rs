//! A throw-away certificate authority for one machine, in the SMKI organisation and SPIFFE profiles.
//!
//! In production the DCC's key infrastructure for connections issues what is issued here. This crate
//! serves the demo, a mesh on one machine, and tests; nothing that serves requests depends on it.
//!
//! Two profiles exist, and a peer carries exactly one of them:
//!
//! - *organisation*: subject `CN` (optional name), `OU` (role code, two hex digits) and
//!   `x500UniqueIdentifier` (OID 2.5.4.45, a BIT STRING of the 64-bit Entity Identifier);
//! - *internal*: one URI subject alternative name `spiffe://mp169.example/<role>`.
//!
//! ```
//! use std::time::Duration;
//!
//! use mesh_pki::{Ca, Validity};
//! use mesh_types::SystemClock;
//!
//! # fn main() -> Result<(), mesh_pki::PkiError> {
//! let year = Validity::starting_now(&SystemClock, Duration::from_secs(365 * 86_400));
//! let ca = Ca::new("MP169 demo CA", year)?;
//! let service = ca.issue_internal("flag-registry", &["flag-registry", "localhost", "127.0.0.1"], year)?;
//! assert!(service.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
//! # Ok(())
//! # }
//! ```

mod ca;
mod files;
mod revocation;
mod subject;
mod validity;

pub use ca::{Ca, Issued, Profile};
pub use files::{CA_CERTIFICATE_FILE, CA_KEY_FILE, IssuedPaths};
pub use validity::Validity;

/// The trust domain of the mesh: the authority part of every SPIFFE identity in it.
pub const TRUST_DOMAIN: &str = "mp169.example";

/// The SPIFFE URI of an internal role, such as `spiffe://mp169.example/flag-registry`.
#[must_use]
pub fn spiffe_uri(role: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/{role}")
}

/// Why a certificate could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The certificate could not be built or signed, or the stored one could not be read.
    #[error("the certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// A name is not one that a certificate can carry.
    #[error("{0:?} is not a DNS name, IP address or URI that a certificate can carry")]
    Name(String),
    /// The finished certificate does not hold the subject identifier where it was put. A defect.
    #[error("the subject identifier is not where it was put")]
    Subject,
    /// None of the certificates is that of the key.
    #[error("none of the certificates belongs to the authority's key")]
    NotItsKey,
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests;
