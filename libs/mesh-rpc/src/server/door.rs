//! How does a connection get from its first octet to the end of its handshake?
//!
//! In three stages, each with a room of its own (`room.rs`): it says nothing yet; it has said its
//! ClientHello and waits until it is its turn to be answered, which costs a signature; it has been
//! answered and has to prove what it claims. Nobody waits for a place in any of them, so a crowd in
//! one stage keeps nobody out of it, and nobody who got further is pushed out by those who did not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt as _;
use rustls::server::Accepted;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::crowd::Origin;
use super::faults::{Fault, Faults};
use super::room::{Room, Visit};
use super::steps::InSteps;
use super::{Draining, hello};
use crate::tls::{Agreed, HandshakeOutcome, Speaks, Tls};

/// Longest time for a ClientHello, from the first octet of the connection to the last of it.
const HELLO_LIMIT: Duration = Duration::from_secs(4);
/// Longest time for a whole handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause where no connection can be accepted, such as for too many open files, and nobody at the
/// door could make room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The door of one server.
#[derive(Debug)]
pub(super) struct Door {
    tls: Tls,
    speaks: Speaks,
    silent: Room,
    asking: Room,
    proving: Room,
    /// How many are answered at the same time. An answer keeps a thread busy, for a signature or for
    /// the check of a chain, and the other threads are for those who are inside.
    answering: Arc<Semaphore>,
    draining: Draining,
    faults: Faults,
}

/// A connection that has just been accepted.
#[derive(Debug)]
pub(super) struct Newcomer {
    silent: Visit,
    origin: Origin,
    since: Instant,
    tcp: TcpStream,
}

/// A connection that got through its handshake.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) agreed: Agreed,
}

/// Why a handshake came to no end.
enum Failed {
    Broken(io::Error),
    TimedOut,
    MadeRoom,
}

impl Door {
    /// Each stage has so many `places`. Must be called within a tokio runtime.
    pub(super) fn new(
        places: usize,
        tls: Tls,
        speaks: Speaks,
        draining: Draining,
        faults: Faults,
    ) -> Self {
        let threads = Handle::current().metrics().num_workers();
        Self {
            tls,
            speaks,
            silent: Room::new(places),
            asking: Room::new(places),
            proving: Room::new(places),
            answering: Arc::new(Semaphore::new((threads / 2).max(1))),
            draining,
            faults,
        }
    }

    /// Takes a connection in, whoever is there already.
    pub(super) fn take_in(&self, tcp: TcpStream, address: SocketAddr) -> Newcomer {
        let origin = Origin::of(address.ip());
        Newcomer {
            silent: self.silent.enter(origin),
            origin,
            since: Instant::now(),
            tcp,
        }
    }

    /// Deals with an error of the listener. Where files ran out, one that holds one for nothing gives
    /// it up.
    pub(super) async fn cannot_accept(&self, error: &io::Error) {
        use io::ErrorKind as Kind;
        if let Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused =
            error.kind()
        {
            // It ended before it was accepted: the next one may be well.
            return;
        }
        self.faults.count(Fault::NotAccepted);
        tracing::warn!(%error, "cannot accept a connection");
        let made = timeout(ACCEPT_PAUSE, async {
            self.silent.make_room().await
                || self.asking.make_room().await
                || self.proving.make_room().await
        });
        if let Ok(false) = made.await {
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Waits for the end of the handshake; `None` if it came to no good one.
    pub(super) async fn admit(&self, newcomer: Newcomer) -> Option<Admitted> {
        let shaken = tokio::select! {
            shaken = self.shake_hands(newcomer) => shaken,
            () = self.draining.started() => return None,
        };
        let (outcome, admitted) = match shaken {
            Ok(admitted) => (HandshakeOutcome::Accepted, Some(admitted)),
            Err(Failed::Broken(error)) => {
                let outcome = HandshakeOutcome::of(&error);
                tracing::info!(%error, outcome = outcome.as_str(), "handshake failed");
                (outcome, None)
            }
            Err(Failed::TimedOut) => (HandshakeOutcome::TimedOut, None),
            Err(Failed::MadeRoom) => (HandshakeOutcome::MadeRoom, None),
        };
        self.tls.handshakes().add(outcome);
        admitted
    }

    async fn shake_hands(&self, newcomer: Newcomer) -> Result<Admitted, Failed> {
        // In this order, so that the file is closed when the place is free.
        let Newcomer {
            silent,
            origin,
            since,
            tcp,
        } = newcomer;
        let hello = may_stay(&silent, since + HELLO_LIMIT, hello::read(&tcp)).await?;
        let asking = self.asking.enter(origin);
        drop(silent);
        // Most never get here: what they would need is not set up before.
        Box::pin(self.agree(hello, asking, origin, since, tcp)).await
    }

    async fn agree(
        &self,
        hello: Accepted,
        asking: Visit,
        origin: Origin,
        since: Instant,
        tcp: TcpStream,
    ) -> Result<Admitted, Failed> {
        let limit = since + HANDSHAKE_LIMIT;
        let turn = Arc::clone(&self.answering).acquire_owned();
        let turn = turn.map_err(io::Error::other);
        let turn = may_stay(&asking, limit, turn).await?;
        if hello::sender_has_left(&tcp) {
            return Err(Failed::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let proving = self.proving.enter(origin);
        drop(asking);
        // Small messages must not wait for more; a socket that refuses this has gone.
        let _ = tcp.set_nodelay(true);
        // A caller may have us ask for another ClientHello: then the second one costs the signature.
        let (config, agreed) = self.tls.as_server(self.speaks);
        let answered = StartHandshake::from_parts(hello, tcp).into_stream(config);
        let answered = InSteps::new(&self.answering, turn, answered);
        let stream = may_stay(&proving, limit, answered).await?;
        Ok(Admitted { stream, agreed })
    }
}

/// Does `work`, unless it takes too long or the visitor has to go before it is done.
async fn may_stay<T>(
    visit: &Visit,
    until: Instant,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Failed> {
    tokio::select! {
        biased;
        done = timeout_at(until, work) => match done {
            Ok(done) => done.map_err(Failed::Broken),
            Err(_) => Err(Failed::TimedOut),
        },
        () = visit.has_to_go() => Err(Failed::MadeRoom),
    }
}

#[cfg(test)]
mod tests;
