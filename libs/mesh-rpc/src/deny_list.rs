//! Which certificates are not accepted any more, though an authority issued them?
//!
//! The list is a TOML file that the mesh's operator keeps:
//!
//! ```toml
//! [[certificate]]                        # one certificate, of a peer or of an authority between
//! serial = "4A:5F:00:1B"                 # as `openssl x509 -serial` prints it
//! issuer = "CN=MP169 mesh on one machine" # as `openssl x509 -issuer` prints it
//! reason = "laptop stolen"               # optional, for people
//! time = 2026-11-28T10:00:00Z            # optional, for people: an entry holds once it is read
//!
//! [[identity]]                           # every certificate of an identity, also a later one
//! identity = "90-B3-D5-1F-30-00-00-02"   # an organisation's EUI-64, or a role such as "operator"
//! ```
//!
//! Anything else in it is an error, so that no slip of the pen lets a peer in. An empty file denies
//! nobody. Here is no I/O: `tls.rs` reads the file, and asks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use mesh_authz::Identity;
use mesh_types::text::Text;
use serde::{Deserialize, Deserializer};
use toml::value::Datetime;

use crate::certificate::CertificateId;
use crate::issuer::IssuerName;
use crate::serial::SerialNumber;

/// Why something was denied, in the operator's words: at most 500 characters, and no person's name.
pub type DenialReason = Text<0, 500>;

/// All that is denied.
#[derive(Debug, Clone, Default)]
pub struct DenyList {
    entries: Vec<DenyEntry>,
    certificates: HashMap<SerialNumber, Vec<IssuerName>>,
    identities: HashSet<Identity>,
}

/// One entry of the list.
#[derive(Debug, Clone)]
pub struct DenyEntry {
    /// What is denied.
    pub denied: Denied,
    /// Why.
    pub reason: Option<DenialReason>,
    /// When somebody wrote it, in the form of RFC 3339. Of no effect.
    pub time: Option<String>,
}

/// What an entry denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// One certificate.
    Certificate(CertificateId),
    /// All certificates of an identity.
    Identity(Identity),
}

/// Why a text is no deny-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct DenyListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

// === reading ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    certificate: Vec<CertificateTable>,
    #[serde(default)]
    identity: Vec<IdentityTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateTable {
    serial: Parsed<SerialNumber>,
    issuer: Parsed<IssuerName>,
    reason: Option<Parsed<DenialReason>>,
    time: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityTable {
    identity: Parsed<Identity>,
    reason: Option<Parsed<DenialReason>>,
    time: Option<Instant>,
}

/// A string that is read as `T`.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A date and time with its offset: anything less is no instant.
struct Instant(String);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let at = Datetime::deserialize(deserializer)?;
        if at.date.is_none() || at.time.is_none() || at.offset.is_none() {
            let form = "a time is written as 2026-11-28T10:00:00Z, without quotes";
            return Err(serde::de::Error::custom(form));
        }
        Ok(Self(at.to_string()))
    }
}

impl DenyList {
    /// Reads the text of a list.
    ///
    /// # Errors
    /// If it is not TOML, holds a key that is not known, or a value that cannot be read.
    pub fn parse(text: &str) -> Result<Self, DenyListError> {
        let file: File = toml::from_str(text).map_err(|error| DenyListError {
            line: line_of(text, error.span()),
            problem: error.message().to_owned(),
        })?;
        let certificates = file.certificate.into_iter().map(|table| DenyEntry {
            denied: Denied::Certificate(CertificateId {
                serial: table.serial.0,
                issuer: table.issuer.0,
            }),
            reason: table.reason.map(|reason| reason.0),
            time: table.time.map(|time| time.0),
        });
        let identities = file.identity.into_iter().map(|table| DenyEntry {
            denied: Denied::Identity(table.identity.0),
            reason: table.reason.map(|reason| reason.0),
            time: table.time.map(|time| time.0),
        });
        let mut list = Self::default();
        certificates
            .chain(identities)
            .for_each(|entry| list.add(entry));
        Ok(list)
    }

    fn add(&mut self, entry: DenyEntry) {
        match &entry.denied {
            Denied::Certificate(id) => self
                .certificates
                .entry(id.serial.clone())
                .or_default()
                .push(id.issuer.clone()),
            Denied::Identity(identity) => {
                self.identities.insert(*identity);
            }
        }
        self.entries.push(entry);
    }
}

fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    1 + text.as_bytes()[..start]
        .iter()
        .filter(|&&octet| octet == b'\n')
        .count()
}

// === asking ===

impl DenyList {
    /// Whether a certificate with this serial number, issuer and identity (if it carries one) is
    /// denied, and by what.
    #[must_use]
    pub fn judge(&self, id: &CertificateId, identity: Option<Identity>) -> Option<Denied> {
        let issuers = self.certificates.get(&id.serial);
        if issuers.is_some_and(|issuers| issuers.contains(&id.issuer)) {
            return Some(Denied::Certificate(id.clone()));
        }
        let identity = identity.filter(|identity| self.identities.contains(identity))?;
        Some(Denied::Identity(identity))
    }

    /// Whether one of the entries denies this.
    pub(crate) fn has(&self, denied: &Denied) -> bool {
        match denied {
            Denied::Certificate(id) => self.judge(id, None).is_some(),
            Denied::Identity(identity) => self.identities.contains(identity),
        }
    }

    /// What is denied, certificates first, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[DenyEntry] {
        &self.entries
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(id) => id.fmt(f),
            Self::Identity(identity) => write!(f, "all of {identity}"),
        }
    }
}

#[cfg(test)]
mod tests;
