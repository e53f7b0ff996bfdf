//! What happens to one connection, from the handshake to its end?
//!
//! The accept loop is ours because TLS is: the certificate is exchanged while serving, and a
//! connection ends no later than the certificate that its peer showed. tonic's own server offers
//! neither, nor an end to streams at shutdown.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::guests::{Guest, Guests};
use super::{Drained, Draining};
use crate::limits::{Caller, Place, Places};
use crate::peer::Peer;
use crate::protocol::HEADER_OCTETS;
use crate::rpc::Rpc;
use crate::tls::{HandshakeOutcome, Shown, Tls};

/// Longest time for a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after an error of the listener, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A quiet peer is asked for a sign of life so often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A peer that gives none within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at a time on one connection; one client multiplexes all its calls on one.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// Calls at a time of a guest, who may ask for health alone: as many as it has places for.
const STREAMS_PER_GUEST: u32 = 8;
/// Octets of answers that are kept for one call whose caller does not take them; hyper would keep
/// 400 KiB. One message more is on the way, whatever its size.
const UNTAKEN_OCTETS: usize = 64 * 1024;
/// At most so long before its peer's certificate ends, a connection takes no new calls.
const RETIRE_BEFORE: Duration = Duration::from_secs(10);
/// "Never", as far as timers go.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Server<S> {
    pub(super) chain: S,
    pub(super) tls: Tls,
    pub(super) guests: Guests,
    /// The connections of those who said who they are.
    pub(super) known: Arc<Places>,
    pub(super) draining: Draining,
    /// Ends what has not ended by itself.
    pub(super) cut: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl<S: Rpc> Server<S> {
    /// Accepts connections for ever. The listener closes when the future is dropped.
    pub(super) async fn accept(&self, listener: TcpListener) {
        loop {
            let (tcp, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(guest) = self.guests.enter().await else {
                return;
            };
            let server = self.clone();
            self.connections.spawn(async move {
                if let Some(tls) = server.handshake(tcp, &guest).await {
                    let chain = tls.get_ref().1.peer_certificates();
                    let peer = Peer::new(address, chain);
                    let Some(Ok(identity)) = peer.identity() else {
                        return server.connection(tls, peer, Some(guest)).await;
                    };
                    drop(guest);
                    let caller = Caller::Known(identity);
                    let Ok(_place) = Place::take(&server.known, caller) else {
                        tracing::warn!(%identity, "there are more connections than there may be");
                        return;
                    };
                    server.connection(tls, peer, None).await;
                }
            });
        }
    }

    /// Waits for the connections to end, and after `limit` ends them.
    pub(super) async fn drain(self, limit: Duration) -> Drained {
        self.connections.close();
        let clean = timeout(limit, self.connections.wait()).await.is_ok();
        if !clean {
            let connections = self.connections.len();
            tracing::warn!(connections, "calls did not end in time and are cut off");
            self.cut.cancel();
            self.connections.wait().await;
        }
        Drained { clean }
    }

    async fn handshake(&self, tcp: TcpStream, guest: &Guest) -> Option<TlsStream<TcpStream>> {
        // Small messages must not wait for more; a socket that refuses this has gone.
        let _ = tcp.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.tls.server_config());
        let limit = Instant::now() + HANDSHAKE_LIMIT;
        let shaken = tokio::select! {
            shaken = timeout_at(limit, acceptor.accept(tcp)) => shaken.ok(),
            () = guest.has_to_go() => None,
            () = self.draining.started() => return None,
        };
        let (outcome, stream) = match shaken {
            Some(Ok(stream)) => (HandshakeOutcome::Accepted, Some(stream)),
            Some(Err(error)) => {
                let outcome = HandshakeOutcome::of(&error);
                tracing::info!(%error, outcome = outcome.as_str(), "handshake failed");
                (outcome, None)
            }
            None => (HandshakeOutcome::TimedOut, None),
        };
        self.tls.handshakes().add(outcome);
        stream
    }

    async fn connection(&self, tls: TlsStream<TcpStream>, peer: Peer, guest: Option<Guest>) {
        let remaining = peer.remaining().unwrap_or(NEVER).min(NEVER);
        let mut expired = pin!(sleep_until(Instant::now() + remaining));
        let before = remaining - RETIRE_BEFORE.min(remaining / 10);
        let mut retire = pin!(sleep_until(Instant::now() + before));
        let mut revoked = pin!(
            self.tls
                .revoked(Shown::by_caller(tls.get_ref().1.peer_certificates()))
        );
        let chain = self
            .chain
            .clone()
            .map_request(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer.clone());
                request
            });
        let streams = match &guest {
            Some(_) => STREAMS_PER_GUEST,
            None => STREAMS_PER_CONNECTION,
        };
        let http =
            http2(streams).serve_connection(TokioIo::new(tls), TowerToHyperService::new(chain));
        let mut http = pin!(http);
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = http.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection broke");
                    }
                    return;
                }
                () = self.draining.started(), if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                }
                () = retire.as_mut(), if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                }
                () = has_to_go(guest.as_ref()) => {
                    tracing::debug!("a connection without an identity makes room for another");
                    return;
                }
                () = expired.as_mut() => {
                    tracing::info!("connection ended with its peer's certificate");
                    return;
                }
                revoked = revoked.as_mut() => {
                    tracing::warn!(%revoked, "connection ended: its peer is revoked");
                    return;
                }
                () = self.cut.cancelled() => return,
            }
        }
    }
}

/// A peer that is known may stay.
async fn has_to_go(guest: Option<&Guest>) {
    match guest {
        Some(guest) => guest.has_to_go().await,
        None => std::future::pending().await,
    }
}

fn http2(streams: u32) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_OCTETS)
        .max_send_buf_size(UNTAKEN_OCTETS);
    http2
}
