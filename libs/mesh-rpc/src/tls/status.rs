//! What is in use, how long does it hold, and what could not be used?

use std::sync::{MutexGuard, PoisonError};

use mesh_authz::Identity;
use mesh_types::Timestamp;

use super::open::unix_time;
use super::source::{Parts, TlsError};
use super::{Inner, Tls};
use crate::certificate::{
    CertificateId, IdentityError, identity_of, not_after, not_before, subject_of,
};
use crate::issuer::IssuerName;

/// What is in use.
#[derive(Debug, Clone)]
pub struct TlsStatus {
    /// Our own certificate.
    pub own: CertificateFacts,
    /// Whom it says that we are.
    pub identity: Result<Identity, IdentityError>,
    /// Why we would not accept it ourselves; others that trust the same authorities refuse it then.
    pub own_refused: Option<String>,
    /// The authorities that are trusted.
    pub authorities: Vec<CertificateFacts>,
    /// Counts the good exchanges.
    pub generation: u64,
    /// Counts the times that files could not be used.
    pub refused_reloads: u64,
    /// The last of them.
    pub last_refused: Option<RefusedFiles>,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Which one it is.
    pub id: CertificateId,
    /// The name of its holder.
    pub subject: IssuerName,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Files that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFiles {
    /// When that was seen.
    pub at: Timestamp,
    /// Which files, in the words of metrics.
    pub files: &'static str,
    /// What is wrong with them.
    pub problem: String,
    /// Whether that is still so.
    pub persists: bool,
}

impl CertificateFacts {
    /// Reads a certificate in DER form; `None` if it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        Some(Self {
            id: CertificateId::of(der)?,
            subject: subject_of(der)?,
            not_before: not_before(der)?,
            not_after: not_after(der)?,
        })
    }
}

impl Tls {
    /// What is in use now; `None` if our own certificate cannot be read.
    #[must_use]
    pub fn status(&self) -> Option<TlsStatus> {
        let current = self.0.current.load();
        let parts = Parts::read(&current.texts.pem).ok()?;
        let (own, others) = parts.chain.split_first()?;
        let now = unix_time(self.0.clock.now());
        let judged = current.callers.trust.verify_client_cert(own, others, now);
        let authorities = parts.authorities.iter();
        Some(TlsStatus {
            own: CertificateFacts::of(own)?,
            identity: identity_of(own),
            own_refused: judged.err().map(|error| error.to_string()),
            authorities: authorities
                .filter_map(|der| CertificateFacts::of(der))
                .collect(),
            generation: current.generation,
            refused_reloads: self.refused_reloads(),
            last_refused: self.0.last_refused().clone(),
        })
    }
}

impl Inner {
    fn last_refused(&self) -> MutexGuard<'_, Option<RefusedFiles>> {
        // It is exchanged as a whole.
        self.last_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_refused(&self, files: &'static str, error: &TlsError) {
        *self.last_refused() = Some(RefusedFiles {
            at: self.clock.now(),
            files,
            problem: error.to_string(),
            persists: true,
        });
    }

    /// A look found nothing wrong with these files.
    pub(super) fn usable_again(&self, files: &'static str) {
        if let Some(last) = &mut *self.last_refused()
            && last.files == files
        {
            last.persists = false;
        }
    }
}
