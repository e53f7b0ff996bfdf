//! What happens to one connection, from the end of its handshake to its own?
//!
//! The accept loop is ours because TLS is: the certificate is exchanged while serving, and a
//! connection ends no later than the certificate that its peer showed. tonic's own server offers
//! neither, nor an end to streams at shutdown. The same loop serves callers that speak gRPC and
//! browsers, which differ in what they may speak and in nothing else.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use mesh_authz::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::crowd::Origin;
use super::door::{Admitted, Door};
use super::faults::{Fault, Faults};
use super::room::{Room, Visit};
use super::term::Term;
use super::{Drained, Draining};
use crate::limits::{Caller, Place, Places};
use crate::peer::Peer;
use crate::protocol::HEADER_OCTETS;
use crate::rpc::Rpc;
use crate::standing::Standing;
use crate::tls::{ALPN_H2, Shown, Speaks, Tls};

/// Connections that are accepted before those that are there get a turn: far fewer than there are
/// places.
const ACCEPTED_AT_ONCE: usize = 16;
/// A quiet peer is asked for a sign of life so often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A peer that gives none within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at a time on one connection; one client multiplexes all its calls on one.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// Calls at a time of a guest, who may ask for health alone: as many as it has places for.
const STREAMS_PER_GUEST: u32 = 8;
/// Requests at a time on one connection of a browser.
const STREAMS_PER_BROWSER: u32 = 32;
/// A browser sends the head of its next request within this time, or its connection ends.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Longest head of a request in HTTP/1.1; a longer one is refused with a bare 431.
const HEAD_OCTETS: usize = 16 * 1024;
/// Octets of answers that are kept for one call whose caller does not take them; hyper would keep
/// 400 KiB. One message more is on the way, whatever its size.
const UNTAKEN_OCTETS: usize = 64 * 1024;

/// What all connections of a server share.
pub(super) struct Server<S> {
    pub(super) chain: S,
    pub(super) tls: Tls,
    /// What its callers speak.
    pub(super) speaks: Speaks,
    /// Whom everybody acts as; `None` where certificates say who somebody is.
    pub(super) everybody: Option<Identity>,
    pub(super) door: Door,
    pub(super) faults: Faults,
    /// The connections of those who got through their handshake and did not say who they are.
    pub(super) guests: Room,
    /// The connections of those who said who they are.
    pub(super) known: Arc<Places>,
    pub(super) draining: Draining,
    /// Ends what has not ended by itself.
    pub(super) cut: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl<S: Rpc> Server<S> {
    /// Accepts connections for ever.
    pub(super) async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for number in 1_usize.. {
            match listener.accept().await {
                Ok((tcp, address)) => self.receive(tcp, address),
                Err(error) => self.door.cannot_accept(&error).await,
            }
            // Whoever is there gets a turn before many more come: so what has arrived is read before
            // anybody has to go for having said nothing.
            if number.is_multiple_of(ACCEPTED_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn receive(self: &Arc<Self>, tcp: TcpStream, address: SocketAddr) {
        let server = Arc::clone(self);
        if let Some(identity) = self.everybody {
            self.connections.spawn(async move {
                let guest = server.guests.enter(Origin::of(address.ip()));
                let talk = Talk::http1(Peer::acting_as(address, identity), Some(guest));
                server.hold(tcp, talk, None).await;
            });
            return;
        }
        let newcomer = self.door.take_in(tcp, address);
        self.connections.spawn(async move {
            if let Some(admitted) = server.door.admit(newcomer).await {
                Box::pin(server.serve(admitted, address)).await;
            }
        });
    }

    async fn serve(&self, admitted: Admitted, address: SocketAddr) {
        let peer = Peer::new(address, admitted.stream.get_ref().1.peer_certificates());
        let Some(Ok(identity)) = peer.identity() else {
            let guest = self.guests.enter(Origin::of(address.ip()));
            return self.connection(admitted, peer, Some(guest)).await;
        };
        let Ok(_place) = Place::take(&self.known, Caller::Known(identity)) else {
            self.faults.count(Fault::TooMany);
            tracing::warn!(%identity, "there are more connections than there may be");
            return;
        };
        self.connection(admitted, peer, None).await;
    }

    /// Waits for the connections to end, and after `limit` ends them.
    pub(super) async fn drain(&self, limit: Duration) -> Drained {
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

    async fn connection(&self, admitted: Admitted, peer: Peer, guest: Option<Visit>) {
        let Admitted { stream, agreed } = admitted;
        let connection = stream.get_ref().1;
        let shown = Shown::by_caller(connection.peer_certificates(), agreed);
        let term = Term::new(self.tls.clone(), shown, peer.standing().clone());
        let talk = match (self.speaks, connection.alpn_protocol()) {
            (Speaks::Grpc, _) => Talk::http2(peer, guest, STREAMS_PER_CONNECTION),
            (Speaks::Web, Some(ALPN_H2)) => Talk::http2(peer, guest, STREAMS_PER_BROWSER),
            (Speaks::Web, _) => Talk::http1(peer, guest),
        };
        self.hold(stream, talk, Some(term)).await;
    }

    /// Has the chain answer what comes on a connection, until its end.
    async fn hold<I>(&self, io: I, talk: Talk, term: Option<Term>)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Talk {
            peer,
            guest,
            streams,
        } = talk;
        let standing = peer.standing().clone();
        let chain = self
            .chain
            .clone()
            .map_request(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer.clone());
                request
            });
        let (io, chain) = (TokioIo::new(io), TowerToHyperService::new(chain));
        let last = Last {
            guest,
            standing,
            term,
        };
        match streams {
            Some(streams) => {
                let http = http2(streams).serve_connection(io, chain);
                self.until_its_end(http, last).await;
            }
            None => {
                let http = http1().serve_connection(io, chain);
                self.until_its_end(http, last).await;
            }
        }
    }

    async fn until_its_end(&self, http: impl GracefulConnection<Error = hyper::Error>, last: Last) {
        let Last {
            guest,
            standing,
            term,
        } = last;
        // A set asks it only when it has moved, and not whenever the connection has something to do.
        let mut over: FuturesUnordered<_> = term.into_iter().map(Term::run).collect();
        let mut http = pin!(http);
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = http.as_mut() => {
                    if let Err(error) = ended && !error.is_timeout() {
                        self.faults.count(Fault::Broken);
                        tracing::debug!(%error, "connection broke");
                    }
                    return;
                }
                () = self.draining.started(), if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                }
                () = standing.ending().begun(), if !leaving => {
                    leaving = true;
                    http.as_mut().graceful_shutdown();
                }
                () = has_to_go(guest.as_ref()) => {
                    tracing::debug!("a connection without an identity makes room for another");
                    return;
                }
                Some(()) = over.next() => return,
                () = self.cut.cancelled() => return,
            }
        }
    }
}

/// Who is at the other end of a connection, and what is spoken there.
struct Talk {
    peer: Peer,
    guest: Option<Visit>,
    /// Calls at a time in HTTP/2; `None` in HTTP/1.1, where there is one.
    streams: Option<u32>,
}

/// What ends a connection.
struct Last {
    guest: Option<Visit>,
    standing: Standing,
    term: Option<Term>,
}

impl Talk {
    fn http2(peer: Peer, guest: Option<Visit>, streams: u32) -> Self {
        let most = guest.as_ref().map_or(u32::MAX, |_| STREAMS_PER_GUEST);
        Self {
            peer,
            guest,
            streams: Some(streams.min(most)),
        }
    }

    const fn http1(peer: Peer, guest: Option<Visit>) -> Self {
        Self {
            peer,
            guest,
            streams: None,
        }
    }
}

/// A peer that is known may stay.
async fn has_to_go(guest: Option<&Visit>) {
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

fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_OCTETS);
    http1
}
