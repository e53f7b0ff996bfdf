//! The server and client chains: TLS, trace, metrics, limits, identity.
//!
//! The only crate that knows tower. Every layer is one file, works on whole HTTP messages (so unary
//! calls and streams alike), and answers a refusal as a finished gRPC response. [`serve`] builds the
//! server chain in one function, [`connect`] the client chain.
//!
//! | Question | File |
//! |---|---|
//! | in which order do the layers stand? | `server.rs` |
//! | certificates, trust, reload | `tls.rs` |
//! | is it gRPC, with metadata of a size that is taken? | `protocol.rs` |
//! | who is calling? | `identity.rs`, `peer.rs`, `certificate.rs` |
//! | how long a connection lasts, and how its calls end | `server/term.rs`, `retire.rs`, `standing.rs` |
//! | whose certificate is not accepted any more? | `deny_list.rs`, `tls/crl.rs`, `tls/verifiers.rs` |
//! | who gets through the handshake, and who makes room | `server/door.rs`, `server/crowd.rs` |
//! | pages for browsers, and their calls | `server/web.rs` |
//! | what goes on record of a call | `audit.rs` |
//! | calls at a time, deadlines, message size | `limits.rs` |
//! | what each class of callers has of a server | `limits/shares.rs` |
//! | rate of a caller, and when it is its turn | `caller_limits.rs`, `turns.rs` |
//! | in which order work is served | `fair.rs` |
//! | spans, trace context in and out | `trace.rs`, `traceparent.rs` |
//! | where logs, spans and metrics go, and how often a line is logged | `telemetry.rs`, `log_rate.rs` |
//! | calling another service | `client.rs` |
//! | which certificate another service shows | `look.rs` |
//! | what the other services' clocks show | `clock_word.rs` |
//!
//! A service runs like this:
//!
//! ```no_run
//! use mesh_rpc::{ClientOptions, Draining, Health, ServeOptions, Tls, connect, serve};
//! use tonic::service::Routes;
//!
//! async fn run(
//!     listener: tokio::net::TcpListener,
//!     tls: Tls,
//!     authorize: mesh_authz::AuthorizeLayer,
//!     journal: std::sync::Arc<dyn mesh_rpc::audit::Journal>,
//!     shutdown: impl Future<Output = ()> + Send,
//! ) -> Result<(), mesh_rpc::ServeError> {
//!     let registration = connect(ClientOptions::new("registration", "127.0.0.1:7001", tls.clone()));
//!     // … hand `registration` to a generated client, and `draining` to the handlers of streams.
//!     let draining = Draining::new();
//!     let health = Health::new(&["mp169.flag_registry.v1.FlagService"]);
//!     let routes = Routes::default(); // .add_service(FlagServiceServer::new(…))
//!     health.set(Ok(())); // when the service can answer
//!     let options =
//!         ServeOptions::new("flag-registry", listener, tls, authorize, journal, health, draining);
//!     let drained = serve(options, routes, shutdown).await?;
//!     if !drained.clean {
//!         tracing::warn!("some calls were cut off");
//!     }
//!     # drop(registration);
//!     Ok(())
//! }
//! ```

pub mod audit;
mod caller_limits;
mod certificate;
mod client;
mod clock_word;
mod cost;
mod deny_list;
mod fair;
pub mod health_api;
mod identity;
mod issuer;
mod limits;
mod log_line;
mod log_rate;
mod look;
mod methods;
mod metrics;
mod observe;
mod panic;
mod peer;
mod protocol;
mod retire;
mod rpc;
mod serial;
mod server;
mod standing;
mod status;
mod telemetry;
mod tls;
mod trace;
mod traceparent;
mod turns;
mod waiting;

pub use caller_limits::CallerLimits;
pub use certificate::{CertificateId, IdentityError, TRUST_DOMAIN, identity_of, not_after};
pub use client::{ClientOptions, MeshChannel, Names, Retry, RetryPolicy, connect};
pub use clock_word::TIME;
pub use deny_list::{DenialReason, Denied, DenyEntry, DenyList, DenyListError};
pub use issuer::{IssuerName, IssuerNameError};
pub use limits::{Bound, GlobalLimits, Share, Shares, remaining};
pub use look::{LookError, certificate_of};
pub use metrics::DURATION_BUCKETS;
pub use peer::Peer;
pub use rpc::Rpc;
pub use serial::{SerialNumber, SerialNumberError};
pub use server::{
    Chain, ChainOf, DEFAULT_DRAIN_LIMIT, Drained, Draining, Health, LAYER_ORDER, NotLoopback,
    NotReady, ServeError, ServeOptions, Web, WebListener, serve, share_files_among,
};
pub use status::{code_name, refuse};
pub use telemetry::{LogFormat, Telemetry, TelemetryError, TelemetryOptions};
pub use tls::{
    CertificateFacts, CrlError, Exchanged, HandshakeCounters, HandshakeOutcome, RELOAD_INTERVAL,
    RefusedFiles, Tls, TlsError, TlsFiles, TlsPem, TlsStatus,
};
pub use traceparent::{current_traceparent, link_to};
pub use turns::{Turn, Work};
