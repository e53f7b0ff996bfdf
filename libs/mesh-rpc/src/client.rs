//! How does one service call another?
//!
//! [`connect`] gives a channel with the client chain on it: trace, deadline, then mTLS to one of the
//! processes that the service's name stands for. Retries are above the generated stub, because a request's
//! body can be sent only once: [`Retry`].

mod broken;
mod connection;
mod deadline;
mod entrance;
mod guarded;
mod load;
mod members;
mod names;
mod outgoing;
mod refused;
mod replicas;
mod retry;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use mesh_types::{Clock, SystemClock};
use tonic::body::Body;
use tower::{BoxError, Layer as _, Service};

use crate::clock_word::ClientClock;
use crate::rpc::CallFuture;
use crate::tls::Tls;
use crate::trace::{ClientTrace, ClientTraceLayer};

use deadline::ClientDeadline;
use replicas::Replicas;

pub use names::Names;
pub use retry::{Retry, RetryPolicy};

/// The usual deadline of a call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which service to call, and how.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The service's name, such as `flag-registry`. Its certificate must carry this as a DNS name
    /// and as its SPIFFE role, whatever the address.
    pub service: &'static str,
    /// Where it listens: `host:port`. A name may stand for several processes; calls are spread over them,
    /// and those that come and go are noticed.
    pub address: String,
    /// Our certificate and trusted authorities.
    pub tls: Tls,
    /// Deadline of a unary call, and of a stream's first answer, if the caller sets none and none
    /// is running.
    pub deadline: Duration,
    /// Our clock: calls say what it shows, and what watches it hears of the service's clock.
    pub clock: Arc<dyn Clock>,
    /// How the address is looked up if it is a name.
    pub names: Names,
}

impl ClientOptions {
    /// A deadline of 5 seconds.
    #[must_use]
    pub fn new(service: &'static str, address: impl Into<String>, tls: Tls) -> Self {
        Self {
            service,
            address: address.into(),
            tls,
            deadline: DEADLINE,
            clock: Arc::new(SystemClock),
            names: Names::default(),
        }
    }

    /// The same with our own service's clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }
}

/// A channel to one service, with the client chain on it; generated clients take it. Cheap to
/// clone. It connects at the first call, and again whenever a connection broke.
#[derive(Debug, Clone)]
pub struct MeshChannel(ClientTrace<ClientDeadline<ClientClock<Replicas>>>);

/// Prepares calls to a service. Nothing is connected yet.
#[must_use]
pub fn connect(options: ClientOptions) -> MeshChannel {
    let trace = ClientTraceLayer {
        server: options.service,
    };
    let deadline = options.deadline;
    let (service, clock) = (options.service, options.clock.clone());
    let channel = ClientClock::new(Replicas::new(options), service, clock);
    // Outermost first: the span covers the waiting too; the deadline covers connecting too.
    MeshChannel(trace.layer(ClientDeadline::new(channel, service, deadline)))
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
