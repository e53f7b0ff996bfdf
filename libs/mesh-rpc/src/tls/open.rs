//! Why does an open connection end, though its handshake was good?

use std::fmt;
use std::time::Duration;

use mesh_types::{Clock as _, SystemClock};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::CertificateId;
use crate::deny_list::Denied;

/// What the peer of an open connection showed.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its certificate, and those in between.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The name by which a service was meant; `None` for a caller.
    pub(super) service: Option<ServerName<'static>>,
    /// When: later only its revocation is judged, and not whether it is still in force.
    pub(super) at: UnixTime,
}

/// Why a peer is accepted no more.
#[derive(Debug)]
pub(crate) enum Revoked {
    /// It stands in our deny-list.
    Denied(Denied),
    /// A certificate that it showed stands in its authority's revocation list; this is the peer's own.
    Listed(Option<CertificateId>),
}

impl Shown {
    /// By a caller, if it showed anything.
    pub(crate) fn by_caller(chain: Option<&[CertificateDer<'_>]>) -> Self {
        let chain = chain.unwrap_or_default().iter();
        let now = u64::try_from(SystemClock.now().micros()).unwrap_or_default();
        Self {
            chain: chain.map(|shown| shown.clone().into_owned()).collect(),
            service: None,
            at: UnixTime::since_unix_epoch(Duration::from_micros(now)),
        }
    }

    /// By the service that was called by this name.
    pub(crate) fn by_service(
        chain: Option<&[CertificateDer<'_>]>,
        name: ServerName<'static>,
    ) -> Self {
        Self {
            service: Some(name),
            ..Self::by_caller(chain)
        }
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Listed(Some(id)) => write!(f, "{id}, which its authority revoked"),
            Self::Listed(None) => f.write_str("a certificate that its authority revoked"),
        }
    }
}
