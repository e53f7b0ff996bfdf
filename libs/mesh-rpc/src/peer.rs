//! What is known about the other end of a connection?

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_authz::Identity;
use rustls_pki_types::CertificateDer;

use crate::certificate::{IdentityError, identity_of};
use crate::standing::Standing;

/// The peer of one connection, in the extensions of each of its requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    address: SocketAddr,
    identity: Option<Result<Identity, IdentityError>>,
    standing: Standing,
}

impl Peer {
    /// Reads the leaf of the chain that the peer showed in the handshake, if it showed one.
    pub(crate) fn new(address: SocketAddr, chain: Option<&[CertificateDer<'_>]>) -> Self {
        let leaf = chain.and_then(<[_]>::first);
        Self(Arc::new(Facts {
            address,
            identity: leaf.map(|leaf| identity_of(leaf)),
            standing: Standing::default(),
        }))
    }

    /// One that acts as `identity`, whatever it shows.
    pub(crate) fn acting_as(address: SocketAddr, identity: Identity) -> Self {
        Self(Arc::new(Facts {
            address,
            identity: Some(Ok(identity)),
            standing: Standing::default(),
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

    /// Whether the connection still lasts.
    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }
}
