//! How does a browser's request reach an RPC?
//!
//! Pages are served on a listener of their own, over the same TLS as calls or, on the machine itself,
//! without. What a page shows it asks of [`Chain`], in this process and as the browser's peer: one
//! chain judges, limits and records whoever asks, and by whichever way.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use mesh_authz::{Identity, InternalRole};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::peer::Peer;
use crate::rpc::{Rpc, RpcFuture};

/// Any service between two layers.
pub(super) type AnyRpc = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Pages for browsers.
pub struct Web {
    pub(super) listener: WebListener,
    pub(super) pages: Box<dyn FnOnce(Chain) -> AnyRpc + Send>,
}

/// Where browsers connect, and how it is known who they are.
#[derive(Debug)]
pub struct WebListener {
    listener: TcpListener,
    /// Whom everybody acts as; `None` where certificates say who somebody is.
    everybody: Option<InternalRole>,
}

/// A listener without certificates can be reached from other machines.
#[derive(Debug, thiserror::Error)]
pub enum NotLoopback {
    /// It listens on an address of a network.
    #[error(
        "{0} is no loopback address: without certificates anybody who reaches it would be let in"
    )]
    Address(SocketAddr),
    /// Where it listens is not known.
    #[error("it is not known on which address it listens")]
    Unknown(#[from] io::Error),
}

/// The chain that every call goes through, for calls that begin in this process. Cheap to clone.
#[derive(Clone)]
pub struct Chain(AnyRpc);

/// The same for calls of one peer; a generated client takes it as its transport.
#[derive(Clone)]
pub struct ChainOf {
    chain: AnyRpc,
    peer: Peer,
}

impl WebListener {
    /// Over TLS, as calls: with the same certificate, the same authorities and the same lists of what
    /// is denied.
    #[must_use]
    pub const fn with_certificates(listener: TcpListener) -> Self {
        Self {
            listener,
            everybody: None,
        }
    }

    /// Without TLS, for this machine alone: every process of it acts as `role`.
    ///
    /// # Errors
    /// The address is not a loopback one.
    pub fn without_certificates(
        listener: TcpListener,
        role: InternalRole,
    ) -> Result<Self, NotLoopback> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(NotLoopback::Address(address));
        }
        Ok(Self {
            listener,
            everybody: Some(role),
        })
    }

    /// Whether it asks for no certificates, so that pages have to see to it that a browser means this
    /// machine.
    #[must_use]
    pub const fn is_without_certificates(&self) -> bool {
        self.everybody.is_some()
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) fn open(self) -> (TcpListener, Option<Identity>) {
        (self.listener, self.everybody.map(Identity::Internal))
    }
}

impl Web {
    /// Serves at `listener` what `pages` makes of the chain: a function that answers each request, which
    /// has its [`Peer`] in its extensions.
    pub fn new<P, A>(listener: WebListener, pages: impl FnOnce(Chain) -> P + Send + 'static) -> Self
    where
        P: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let pages = move |chain| {
            let answers = pages(chain);
            AnyRpc::new(tower::service_fn(move |request| {
                answers(request).map(Ok::<_, Infallible>)
            }))
        };
        Self {
            listener,
            pages: Box::new(pages),
        }
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Web").field(&self.listener).finish()
    }
}

impl Chain {
    pub(super) fn new(chain: impl Rpc) -> Self {
        Self(AnyRpc::new(chain))
    }

    /// For calls of the peer that made a request.
    #[must_use]
    pub fn of(&self, peer: &Peer) -> ChainOf {
        ChainOf {
            chain: self.0.clone(),
            peer: peer.clone(),
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

impl fmt::Debug for ChainOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChainOf").field(&self.peer).finish()
    }
}

impl Service<Request<Body>> for ChainOf {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.chain.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.chain.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bound(address: &str) -> TcpListener {
        TcpListener::bind((address, 0)).await.unwrap()
    }

    #[tokio::test]
    async fn whoever_comes_from_elsewhere_needs_a_certificate() {
        let role = InternalRole::Analyst;
        let here = WebListener::without_certificates(bound("127.0.0.1").await, role);
        assert!(here.unwrap().is_without_certificates());
        let everywhere = WebListener::without_certificates(bound("0.0.0.0").await, role);
        let refused = everywhere.unwrap_err();
        assert!(matches!(refused, NotLoopback::Address(_)), "{refused}");
        let certificates = WebListener::with_certificates(bound("0.0.0.0").await);
        assert!(!certificates.is_without_certificates());
    }
}
