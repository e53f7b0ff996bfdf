//! Which certificate does a service show, if it is asked for nothing else?
//!
//! A channel only says that a call failed. Whoever looks after certificates wants to know when they end,
//! and why one is not accepted.

use std::io;

use mesh_authz::Identity;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificate::identity_of;
use crate::tls::{CertificateFacts, Tls};

/// Why nothing acceptable was shown.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Nobody answers at the address.
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(io::Error),
    /// What was shown belongs to somebody else.
    #[error("the certificate shown is not that of {0}")]
    Another(&'static str),
}

/// Shakes hands with `service` at `address` (`host:port`), and gives the certificate that it shows.
///
/// Whether the service accepts ours is not known by that: in TLS 1.3 it says so later.
///
/// # Errors
/// If it cannot be reached, or shows nothing that we accept.
pub async fn certificate_of(
    service: &'static str,
    address: &str,
    tls: &Tls,
) -> Result<CertificateFacts, LookError> {
    let tcp = TcpStream::connect(address);
    let tcp = tcp.await.map_err(LookError::Unreachable)?;
    let name = ServerName::try_from(service).map_err(|_| LookError::Another(service))?;
    let (config, _) = tls.as_client();
    let stream = TlsConnector::from(config).connect(name, tcp).await;
    let stream = stream.map_err(LookError::Handshake)?;
    let chain = stream.get_ref().1.peer_certificates();
    let leaf = chain.and_then(<[_]>::first);
    let own = leaf.filter(|leaf| match identity_of(leaf) {
        Ok(Identity::Internal(role)) => role.as_str() == service,
        _ => false,
    });
    let facts = own.and_then(|leaf| CertificateFacts::of(leaf));
    facts.ok_or(LookError::Another(service))
}
