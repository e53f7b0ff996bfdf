//! What can be set from outside?

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use mesh_rpc::{TelemetryOptions, TlsFiles};

/// Classification: decides for each message whether it is delivered or suppressed.
#[derive(Debug, Clone, Parser)]
#[command(name = "classification", version)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "CLASSIFICATION_LISTEN", default_value = "127.0.0.1:50053")]
    pub listen: SocketAddr,
    /// The service's certificate, PEM. Read again when it changes; so are the next two.
    #[arg(long, env = "CLASSIFICATION_TLS_CERTIFICATE")]
    pub tls_certificate: PathBuf,
    /// The private key of the certificate, PEM.
    #[arg(long, env = "CLASSIFICATION_TLS_KEY")]
    pub tls_key: PathBuf,
    /// The authorities whose certificates are accepted, PEM.
    #[arg(long, env = "CLASSIFICATION_TLS_TRUST")]
    pub tls_trust: PathBuf,
    /// Where the service registration listens: `host:port`.
    #[arg(
        long,
        env = "CLASSIFICATION_REGISTRATION",
        default_value = "127.0.0.1:50051"
    )]
    pub registration: String,
    /// Where the service flag-registry listens: `host:port`.
    #[arg(
        long,
        env = "CLASSIFICATION_FLAG_REGISTRY",
        default_value = "127.0.0.1:50052"
    )]
    pub flag_registry: String,
    /// Where spans and metrics go (OTLP over gRPC), such as `http://127.0.0.1:4317`. Nowhere if
    /// not given.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which events are logged, such as `info` or `classification=debug`.
    #[arg(long, env = "CLASSIFICATION_LOG", default_value = "info")]
    pub log: String,
}

impl Config {
    /// The three files.
    #[must_use]
    pub fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            trust: self.tls_trust.clone(),
        }
    }

    /// What to log and export.
    #[must_use]
    pub fn telemetry(&self) -> TelemetryOptions {
        TelemetryOptions {
            filter: self.log.clone(),
            otlp_endpoint: self.otlp_endpoint.clone(),
            ..TelemetryOptions::new("classification")
        }
    }
}
