//! How does one service call another?
//!
//! [`connect`] gives a channel with the client chain on it: trace, deadline, then mTLS. Retries are
//! above the generated stub, because a request's body can be sent only once: [`Retry`].

mod connector;
mod deadline;
mod guarded;
mod refused;
mod retry;

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use mesh_types::{Clock, SystemClock};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Layer as _, Service, ServiceExt as _};

use crate::clock_word::ClientClock;
use crate::rpc::CallFuture;
use crate::tls::Tls;
use crate::trace::{ClientTrace, ClientTraceLayer};

use connector::connector;
use deadline::ClientDeadline;
use refused::Verdict;

pub use retry::{Retry, RetryPolicy};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The server is asked for a sign of life so often, also while there are no calls: without it a
/// channel stays dead after a partition. Shorter intervals are not welcome.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A server that gives none within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which service to call, and how.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The service's name, such as `flag-registry`. Its certificate must carry this as a DNS name
    /// and as its SPIFFE role, whatever the address.
    pub service: &'static str,
    /// Where it listens: `host:port`.
    pub address: String,
    /// Our certificate and trusted authorities.
    pub tls: Tls,
    /// Deadline of a unary call, and of a stream's first answer, if the caller sets none and none
    /// is running.
    pub deadline: Duration,
    /// Our clock: calls say what it shows, and what watches it hears of the service's clock.
    pub clock: Arc<dyn Clock>,
}

impl ClientOptions {
    /// A deadline of 5 seconds.
    #[must_use]
    pub fn new(service: &'static str, address: impl Into<String>, tls: Tls) -> Self {
        Self {
            service,
            address: address.into(),
            tls,
            deadline: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        }
    }

    /// The same with our own service's clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }
}

/// A channel to one service, with the client chain on it; generated clients take it. Cheap to
/// clone. It connects at the first call, and again whenever the connection broke.
#[derive(Debug, Clone)]
pub struct MeshChannel(ClientTrace<ClientDeadline<ClientClock<Fresh>>>);

/// Prepares calls to a service. Nothing is connected yet.
#[must_use]
pub fn connect(options: ClientOptions) -> MeshChannel {
    let trace = ClientTraceLayer {
        server: options.service,
    };
    let deadline = options.deadline;
    let (service, clock) = (options.service, options.clock.clone());
    let channel = ClientClock::new(Fresh::new(options), service, clock);
    // Outermost first: the span covers the waiting too; the deadline covers connecting too.
    MeshChannel(trace.layer(ClientDeadline::new(channel, deadline)))
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = CallFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture {
        self.0.call(request)
    }
}

/// A channel that is replaced when our certificate was.
#[derive(Debug, Clone)]
struct Fresh {
    options: Arc<ClientOptions>,
    made: Arc<Mutex<Made>>,
}

#[derive(Debug)]
struct Made {
    /// The generation of [`Tls`] with which the channel was made.
    generation: u64,
    channel: Channel,
    verdict: Verdict,
}

impl Fresh {
    fn new(options: ClientOptions) -> Self {
        let made = Made::new(&options);
        Self {
            options: Arc::new(options),
            made: Arc::new(Mutex::new(made)),
        }
    }

    /// Calls on the old channel go on; it closes when the last of them has ended.
    fn current(&self) -> (Channel, Verdict) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.generation != self.options.tls.generation() {
            *made = Made::new(&self.options);
        }
        (made.channel.clone(), made.verdict.clone())
    }
}

impl Made {
    fn new(options: &ClientOptions) -> Self {
        let verdict = Verdict::default();
        Self {
            generation: options.tls.generation(),
            channel: channel(options, &verdict),
            verdict,
        }
    }
}

fn channel(options: &ClientOptions, verdict: &Verdict) -> Channel {
    // TLS is ours, so the transport is told of none; what it sends says https all the same.
    let name = options.service;
    let uri = |scheme: &str| {
        http::Uri::builder()
            .scheme(scheme)
            .authority(name)
            .path_and_query("/")
            .build()
            .expect("the names of services are host names")
    };
    Endpoint::from(uri("http"))
        .origin(uri("https"))
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector(options, verdict))
}

impl Service<Request<Body>> for Fresh {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = CallFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The channel's own readiness is awaited within the call, under its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture {
        let (channel, verdict) = self.current();
        Box::pin(async move {
            let answer = channel.oneshot(request).await;
            answer.map_err(|error| verdict.explain(error.into()))
        })
    }
}
