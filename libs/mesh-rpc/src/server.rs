//! What stands between a socket and a handler, and in which order?
//!
//! [`chain`] is the function to review: every call to every service of the mesh goes through it,
//! unary or streaming. [`serve`] puts it behind TLS and ends it in good order.

mod connection;
mod crowd;
mod door;
mod drain;
mod faults;
mod files;
mod health;
mod hello;
mod probe;
mod room;
mod standard;
mod steps;
mod term;
mod web;

use std::sync::Arc;
use std::time::Duration;

use mesh_authz::Identity;
use mesh_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::{Layer, ServiceBuilder};

use crate::audit::{AuditLayer, Journal};
use crate::caller_limits::{CallerLimits, CallerLimitsLayer};
use crate::identity::IdentityLayer;
use crate::limits::{GlobalLimits, GlobalLimitsLayer, Places};
use crate::metrics::MetricsLayer;
use crate::panic::PanicGuardLayer;
use crate::protocol::ProtocolLayer;
use crate::rpc::Rpc;
use crate::tls::{Speaks, Tls};
use crate::trace::TraceLayer;

use door::Door;
use faults::Faults;
use room::Room;
use web::AnyRpc;

pub use drain::{Drained, Draining};
pub use files::share_files_among;
pub use health::{Health, NotReady};
pub use web::{Chain, ChainOf, NotLoopback, Web, WebListener};

/// The layers of [`chain`], outermost first, by what they do. A test compares them with the chain
/// that is really built.
pub const LAYER_ORDER: [&str; 10] = [
    "trace",
    "metrics",
    "panic guard",
    "protocol",
    "global limits",
    "identity",
    "audit",
    "limits per caller",
    "authorization",
    "handler",
];

/// How long calls may go on after the signal to stop.
pub const DEFAULT_DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Connections that wait to be accepted: as many as Linux allows, if nobody says otherwise
/// (`net.core.somaxconn`).
const ACCEPT_QUEUE: i32 = 4_096;

/// All that a server needs beside its handlers.
#[derive(Debug)]
pub struct ServeOptions<A> {
    /// The service's name in spans and metrics, such as `flag-registry`.
    pub service: &'static str,
    /// Where to accept connections; bound by the caller, so that the address is known.
    pub listener: TcpListener,
    /// Certificate and trusted authorities.
    pub tls: Tls,
    /// The authorization layer: it answers `UNAUTHENTICATED` where there is no identity and the
    /// method is not open to all.
    pub authorize: A,
    /// Who puts the calls on record.
    pub journal: Arc<dyn Journal>,
    /// What the server takes on from everybody together.
    pub limits: GlobalLimits,
    /// How often one caller may ask.
    pub caller_limits: CallerLimits,
    /// What health checks are told.
    pub health: Health,
    /// Watched by the handlers of streams, which end when it starts.
    pub draining: Draining,
    /// How long calls may go on after the signal to stop, before they are cut off.
    pub drain_limit: Duration,
    /// The service's clock: answers say what it shows, and what watches it hears of callers' clocks.
    pub clock: Arc<dyn Clock>,
    /// Pages for browsers, and where these connect.
    pub web: Option<Web>,
}

impl<A> ServeOptions<A> {
    /// The defaults around what must be given.
    #[must_use]
    pub fn new(
        service: &'static str,
        listener: TcpListener,
        tls: Tls,
        authorize: A,
        journal: Arc<dyn Journal>,
        health: Health,
        draining: Draining,
    ) -> Self {
        Self {
            service,
            listener,
            tls,
            authorize,
            journal,
            limits: GlobalLimits::default(),
            caller_limits: CallerLimits::default(),
            health,
            draining,
            drain_limit: DEFAULT_DRAIN_LIMIT,
            clock: Arc::new(SystemClock),
            web: None,
        }
    }

    /// The same with the service's clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same with pages for browsers.
    #[must_use]
    pub fn with_web(self, web: Option<Web>) -> Self {
        Self { web, ..self }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The contracts cannot be offered by server reflection. A defect of the build.
    #[error("the contracts cannot be offered by server reflection: {0}")]
    Reflection(String),
}

/// Builds the chain around the handlers in `routes`. Read downward: a call passes from top to
/// bottom, its answer from bottom to top.
fn chain<A>(
    service: &'static str,
    limits: GlobalLimits,
    caller_limits: &CallerLimits,
    clock: Arc<dyn Clock>,
    journal: Arc<dyn Journal>,
    authorize: A,
    routes: Routes,
) -> impl Rpc
where
    A: Layer<Routes, Service: Rpc>,
{
    let meter = opentelemetry::global::meter("mesh-rpc");
    ServiceBuilder::new()
        // One span per call, also for a call that any layer below refuses.
        .layer(TraceLayer::new(service))
        // Refused, shed and cancelled calls count; inside trace, so that both see the same end.
        .layer(MetricsLayer::new(service, &meter))
        // A panic below is INTERNAL to the caller, and still traced and counted.
        .layer(PanicGuardLayer)
        // From the headers alone; what is no gRPC takes no place that a call could have.
        .layer(ProtocolLayer)
        // Bounds what a caller can make us do before we know who it is.
        .layer(GlobalLimitsLayer::new(limits))
        // From the certificate alone, and no longer than it is accepted; claims in metadata end here.
        .layer(IdentityLayer { clock })
        // Needs the caller; what is refused below goes on record as what is answered does.
        .layer(AuditLayer::new(journal))
        // Needs the caller; spares the authority the calls of one that runs wild, and has the others
        // take turns with their work.
        .layer(CallerLimitsLayer::new(caller_limits, &limits.shares))
        // Reads the rule of the method and the Device in the message; hands a permit inward.
        .layer(authorize)
        .service(routes)
}

/// Serves `routes`, health and reflection until `shutdown` resolves, then drains.
///
/// After the signal: health says NOT_SERVING, no connection is accepted any more, connections are
/// told to go away, streams see [`Draining`], and calls may finish until the drain limit. What is
/// still there then is cut off, and the result says so.
pub async fn serve<A>(
    options: ServeOptions<A>,
    routes: Routes,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Drained, ServeError>
where
    A: Layer<Routes, Service: Rpc>,
{
    let routes = standard::add_to(routes, &options.health)
        .map_err(|error| ServeError::Reflection(error.to_string()))?;
    let (listener, draining) = (options.listener, options.draining);
    deepen_queue(&listener);
    let files = files::raise_limit();
    let servers = files::servers() + usize::from(options.web.is_some());
    let newcomers = files::places(options.limits.newcomers, files, servers);
    let faults = Faults::new();
    let journal = Arc::downgrade(&options.journal);
    options.tls.tell(move |list| {
        let journal = journal.upgrade();
        journal.inspect(|journal| journal.exchanged(list)).is_some()
    });
    options.tls.serves(options.service);
    options.health.observe(options.service);
    let chain = chain(
        options.service,
        options.limits,
        &options.caller_limits,
        options.clock,
        options.journal,
        options.authorize,
        routes,
    );
    let common = Common {
        tls: options.tls,
        newcomers,
        guests: options.limits.guests,
        known: Places::new(&options.limits.shares, |share| share.connections),
        draining: draining.clone(),
        faults,
    };
    let web = options.web.map(|web| common.web(web, chain.clone()));
    let server = Arc::new(common.server(chain, Speaks::Grpc, None));
    tokio::select! {
        () = server.accept(&listener) => {}
        () = accept_browsers(web.as_ref()) => {}
        () = shutdown => {}
    }
    drop(listener);
    let web = web.map(|(server, _)| server);
    tracing::info!(service = options.service, "draining");
    options.health.drain();
    draining.start();
    let (calls, pages) = tokio::join!(server.drain(options.drain_limit), async {
        match &web {
            Some(server) => server.drain(options.drain_limit).await.clean,
            None => true,
        }
    });
    let clean = calls.clean && pages;
    let drained = Drained { clean };
    tracing::info!(service = options.service, clean = drained.clean, "drained");
    Ok(drained)
}

/// What the servers of one service share.
struct Common {
    tls: Tls,
    newcomers: usize,
    guests: usize,
    known: Arc<Places>,
    draining: Draining,
    faults: Faults,
}

impl Common {
    fn server<S: Rpc>(
        &self,
        chain: S,
        speaks: Speaks,
        everybody: Option<Identity>,
    ) -> connection::Server<S> {
        let (tls, draining) = (self.tls.clone(), self.draining.clone());
        connection::Server {
            chain,
            door: Door::new(
                self.newcomers,
                tls.clone(),
                speaks,
                draining.clone(),
                self.faults.clone(),
            ),
            tls,
            speaks,
            everybody,
            faults: self.faults.clone(),
            guests: Room::new(self.guests),
            known: Arc::clone(&self.known),
            draining,
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
        }
    }

    /// The server of the pages, which call by `chain`.
    fn web(&self, web: Web, chain: impl Rpc) -> (Arc<connection::Server<AnyRpc>>, TcpListener) {
        let (listener, everybody) = web.listener.open();
        deepen_queue(&listener);
        let pages = (web.pages)(Chain::new(chain));
        let server = self.server(pages, Speaks::Web, everybody);
        (Arc::new(server), listener)
    }
}

async fn accept_browsers(web: Option<&(Arc<connection::Server<AnyRpc>>, TcpListener)>) {
    match web {
        Some((server, listener)) => server.accept(listener).await,
        None => std::future::pending().await,
    }
}

/// Whoever bound the listener: a short queue would drop a caller that comes with a crowd, and it would
/// come again after a second at the earliest.
fn deepen_queue(listener: &TcpListener) {
    if let Err(error) = rustix::net::listen(listener, ACCEPT_QUEUE) {
        tracing::warn!(%error, "the queue of the listener stays as it is");
    }
}

#[cfg(test)]
mod tests;
