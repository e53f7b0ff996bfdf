//! What is known about the other end of a connection?

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_authz::Identity;
use mesh_types::{Clock as _, SystemClock, Timestamp};
use rustls_pki_types::CertificateDer;

use crate::certificate::{IdentityError, identity_of, not_after};

/// The peer of one connection, in the extensions of each of its requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    address: SocketAddr,
    identity: Option<Result<Identity, IdentityError>>,
    not_after: Option<Timestamp>,
}

impl Peer {
    /// Reads the leaf of the chain that the peer showed in the handshake, if it showed one.
    pub(crate) fn new(address: SocketAddr, chain: Option<&[CertificateDer<'_>]>) -> Self {
        let leaf = chain.and_then(<[_]>::first);
        Self(Arc::new(Facts {
            address,
            identity: leaf.map(|leaf| identity_of(leaf)),
            not_after: leaf
                .and_then(|leaf| not_after(leaf))
                .map(|seconds| Timestamp::from_micros(seconds.saturating_mul(1_000_000))),
        }))
    }

    /// The address at the other end of the socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Whom the peer's certificate names; `None` if it showed no certificate.
    #[must_use]
    pub fn identity(&self) -> Option<Result<Identity, IdentityError>> {
        self.0.identity
    }

    /// How long the peer's certificate still holds; `None` if it showed none.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let end = self.0.not_after?;
        Some(end.since(SystemClock.now()))
    }
}
