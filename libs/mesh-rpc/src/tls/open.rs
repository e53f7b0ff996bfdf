//! Why does an open connection end, though its handshake was good?

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::{Clock, Timestamp};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{CertificateId, not_after};
use crate::deny_list::Denied;

/// What we went by in a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    /// The generation of the texts.
    pub(super) generation: u64,
    /// When it was.
    pub(super) at: Timestamp,
    /// When our own certificate ends.
    pub(super) own_end: Option<Timestamp>,
}

/// What the peer of an open connection showed.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its certificate, and those in between.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The name by which a service was meant; `None` for a caller.
    pub(super) service: Option<ServerName<'static>>,
    /// What was agreed on. Whether the certificate was in force is judged of that time alone.
    pub(super) agreed: Agreed,
}

/// Why a peer is accepted no more.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// It stands in our deny-list.
    Denied(Denied),
    /// A certificate that it showed stands in its authority's revocation list; this is the peer's own.
    Listed(Option<CertificateId>),
    /// Its authority is not among those that we trust now.
    Untrusted,
    /// Its certificate has ended, or our own.
    Ended,
}

impl Agreed {
    /// The generation of the texts that we went by.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }
}

impl Shown {
    /// By a caller, if it showed anything.
    pub(crate) fn by_caller(chain: Option<&[CertificateDer<'_>]>, agreed: Agreed) -> Self {
        let chain = chain.unwrap_or_default().iter();
        Self {
            chain: chain.map(|shown| shown.clone().into_owned()).collect(),
            service: None,
            agreed,
        }
    }

    /// By the service that was called by this name.
    pub(crate) fn by_service(
        chain: Option<&[CertificateDer<'_>]>,
        name: ServerName<'static>,
        agreed: Agreed,
    ) -> Self {
        Self {
            service: Some(name),
            ..Self::by_caller(chain, agreed)
        }
    }

    /// When the first of the two certificates ends, the peer's and our own; `None` if neither is known.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        let theirs = self.chain.first().and_then(|leaf| not_after(leaf));
        theirs.into_iter().chain(self.agreed.own_end).min()
    }
}

impl Rejected {
    /// The cause, as a label of metrics.
    pub(super) const fn cause(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Listed(_) => "listed",
            Self::Untrusted => "untrusted",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Listed(Some(id)) => write!(f, "{id}, which its authority revoked"),
            Self::Listed(None) => f.write_str("a certificate that its authority revoked"),
            Self::Untrusted => f.write_str("a certificate of an authority that is trusted no more"),
            Self::Ended => f.write_str("a certificate that has ended"),
        }
    }
}

/// The time of handshakes.
pub(super) struct ByClock(pub(super) Arc<dyn Clock>);

impl fmt::Debug for ByClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByClock")
    }
}

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

pub(super) fn unix_time(at: Timestamp) -> UnixTime {
    let micros = u64::try_from(at.micros()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_micros(micros))
}
