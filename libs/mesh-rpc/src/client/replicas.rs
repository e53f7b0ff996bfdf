//! Which process of a service takes a call?
//!
//! Any of those that its name stands for now. The name is resolved again and again while there are
//! calls; each address has one connection at most, which a call opens that finds none. Of two open ones,
//! drawn by lot, the one with fewer calls takes the call, so that no client needs to know what the
//! others do. One that cannot be opened is left alone for a while, longer each time and by lot, as long as
//! there is another; if there is none, each call tries again.
//!
//! A call of which the server did nothing goes on elsewhere (gRFC A6: a transparent retry): a server that
//! drains costs no call.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Service};

use super::ClientOptions;
use super::connection::Connection;
use super::members::{Choice, Members};
use super::outgoing::{Whole, outgoing};
use crate::rpc::CallFuture;

/// Shorter than the usual deadline, so that callers hear UNAVAILABLE and why.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);
const RESOLVE_LIMIT: Duration = Duration::from_secs(4);
/// How many connections a call may find closed before it is given up.
const HANDOVERS: usize = 5;

/// The processes of one service, as far as this client knows. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Replicas(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ClientOptions,
    members: Mutex<Members<Connection>>,
    /// Moves whenever an attempt to resolve or to connect has ended.
    news: watch::Sender<()>,
}

impl Replicas {
    pub(super) fn new(options: ClientOptions) -> Self {
        let members = Members::of(&options.address);
        Self(Arc::new(Shared {
            options,
            members: Mutex::new(members),
            news: watch::Sender::new(()),
        }))
    }
}

impl Service<Request<Body>> for Replicas {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = CallFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A connection is awaited within the call, under its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.call(request).await })
    }
}

impl Shared {
    async fn call(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (mut request, whole) = outgoing(request)?;
        let mut handovers = 0;
        loop {
            let failed = match self.connection().await?.call(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            handovers += 1;
            let again = failed.unsent.or_else(|| whole.as_ref().map(Whole::request));
            request = match again {
                Some(again) if failed.untouched && handovers < HANDOVERS => again,
                _ => return Err(failed.error),
            };
        }
    }

    /// A connection that takes calls, once there is one.
    async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, Status> {
        let begun = Instant::now();
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            match self.choose(begun) {
                Choice::Take(connection) => return Ok(connection),
                Choice::Wait => {}
                Choice::Failed(why) => return Err(self.unavailable(&why)),
            }
            // The sender is ours.
            let _ = news.changed().await;
        }
    }

    /// Looks for a connection, and begins what is due: to resolve the name, to connect.
    fn choose(self: &Arc<Self>, begun: Instant) -> Choice<Connection> {
        let tls = &self.options.tls;
        let mut members = self.members();
        let now = Instant::now();
        members.part_with(|connection| !connection.takes_calls(tls));
        if members.begins_to_resolve(begun, now) {
            tokio::spawn(Arc::clone(self).resolve());
        }
        for address in members.begin_to_open(begun, now) {
            tokio::spawn(Arc::clone(self).open(address));
        }
        let burden = |connection: &Connection| {
            let load = connection.load();
            (load.is_silent(now), load.running())
        };
        members.choose(begun, burden, |among| rand::random_range(0..among))
    }

    async fn resolve(self: Arc<Self>) {
        let (service, address) = (self.options.service, &self.options.address);
        let looked_up = timeout(RESOLVE_LIMIT, self.options.names.look_up(address)).await;
        let found = looked_up.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let changed = self.members().resolved(found, Instant::now());
        match changed {
            Ok(true) => tracing::debug!(service, address, "the name stands for other addresses"),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, service, address, "a name cannot be resolved"),
        }
        self.news.send_replace(());
    }

    async fn open(self: Arc<Self>, address: SocketAddr) {
        let opening = Connection::open(&self.options, address);
        let opened = timeout(CONNECT_LIMIT, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = &opened {
            let service = self.options.service;
            tracing::debug!(%error, service, %address, "a process of a service is not reached");
        }
        let lot = rand::random();
        self.members().opened(address, opened, Instant::now(), lot);
        self.news.send_replace(());
    }

    fn unavailable(&self, why: &str) -> Status {
        let service = self.options.service;
        Status::unavailable(format!("{service} is not reached: {why}"))
    }

    fn members(&self) -> MutexGuard<'_, Members<Connection>> {
        // Whoever panicked with it left every member as it was or as it is to be.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
