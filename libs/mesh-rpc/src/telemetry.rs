//! Where do logs, spans and metrics go?
//!
//! Logs go to standard error. All three go to an OTLP endpoint if there is one, and metrics to whoever
//! scrapes them if that is wanted. Installed once per process, first thing in `main`: instruments that
//! were made earlier measure nothing.
//!
//! | Question | File |
//! |---|---|
//! | Who says that it was, and what is sent? | `telemetry/export.rs` |
//! | Which traces are kept? | `telemetry/sampler.rs` |
//! | What is logged where? | `telemetry/logs.rs` |
//! | What if the endpoint does not answer? | `telemetry/told.rs` |
//! | What is answered to Prometheus? | `telemetry/scrape.rs` |

mod export;
mod logs;
mod sampler;
mod scrape;
mod spans;
mod told;

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::log_rate::LogRate;
use export::Providers;
use scrape::{Scrapes, Served};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
    /// No lines at all, for a command whose output is its own.
    Off,
}

/// What to install.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryOptions {
    /// `service.name` of the process. Where one process runs all services, their spans and metrics
    /// still tell them apart by `mp169.service`.
    pub service: String,
    /// Which events are logged, in the syntax of `tracing_subscriber::EnvFilter`. Spans and metrics
    /// are not affected.
    pub filter: String,
    /// How log lines look.
    pub format: LogFormat,
    /// Where logs, spans and metrics go, such as `http://127.0.0.1:4317` (OTLP over gRPC).
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that is kept, from 0 to 1, of those begun here and of those that come
    /// from outside. A trace that comes from another service of the mesh is kept if that one
    /// keeps it.
    pub sample_ratio: f64,
    /// How often metrics are sent.
    pub metric_interval: Duration,
    /// Where Prometheus may fetch metrics (`GET /metrics`). Nowhere if not given.
    pub metrics_listen: Option<SocketAddr>,
}

impl TelemetryOptions {
    /// Whether a text can be a `filter`.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
        read_filter(filter).map(drop)
    }

    /// Text from level `info` on, and no export.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            filter: "info".to_owned(),
            format: LogFormat::default(),
            otlp_endpoint: None,
            sample_ratio: 1.0,
            metric_interval: Duration::from_secs(10),
            metrics_listen: None,
        }
    }
}

/// Why telemetry could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in the syntax of `EnvFilter`.
    #[error("{0:?} is not a filter of events")]
    Filter(String),
    /// The exporter could not be made.
    #[error("telemetry cannot be exported")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// What Prometheus scrapes could not be made.
    #[error("metrics cannot be collected for Prometheus")]
    Collector(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// Prometheus cannot be served.
    #[error("metrics cannot be served on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A subscriber is installed already.
    #[error("telemetry is installed already")]
    Installed,
}

/// What was installed. [`Telemetry::shutdown`] sends what has not been sent yet.
#[derive(Debug)]
#[must_use = "what is not flushed at the end is lost"]
pub struct Telemetry {
    providers: Providers,
    served: Option<Served>,
}

fn read_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter(filter.to_owned()))
}

impl Telemetry {
    /// Installs the subscriber, the exporters if there is an endpoint, and what Prometheus scrapes if
    /// that is wanted. Must be called within a tokio runtime.
    pub fn install(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        let filter = read_filter(&options.filter)?;
        let scrapes = options.metrics_listen.map(Scrapes::bind).transpose()?;
        let providers = Providers::of(options, scrapes.as_ref())?;
        let spans = providers.traces.as_ref().map(|traces| {
            tracing_opentelemetry::layer()
                .with_tracer(traces.tracer("mesh-rpc"))
                .with_filter(spans::exported())
        });
        let rate = LogRate::new();
        let log = logs::layer(options.format, &rate, providers.logs.as_ref());
        // One filter for both ways: a line that is left out of one is left out of the other.
        let news = filter_fn(told::is_news).with_max_level_hint(LevelFilter::TRACE);
        let filter = filter.and(news).and(rate.clone());
        tracing_subscriber::registry()
            .with(log.map(|log| log.with_filter(filter)))
            .with(spans)
            .try_init()
            .map_err(|_| TelemetryError::Installed)?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        if let Some(traces) = &providers.traces {
            opentelemetry::global::set_tracer_provider(traces.clone());
        }
        if let Some(metrics) = &providers.metrics {
            opentelemetry::global::set_meter_provider(metrics.clone());
            rate.count_with(&opentelemetry::global::meter("mesh-rpc"));
        }
        let served = scrapes.map(Scrapes::serve);
        Ok(Self { providers, served })
    }

    /// Where Prometheus may fetch metrics.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.served.as_ref().map(|served| served.address)
    }

    /// Sends what has ended so far; says whether all of it was taken.
    pub async fn flush(&self) -> bool {
        let Providers {
            traces,
            metrics,
            logs,
        } = self.providers.clone();
        settle([
            traces.map(|traces| blocking(move || traces.force_flush())),
            metrics.map(|metrics| blocking(move || metrics.force_flush())),
            logs.map(|logs| blocking(move || logs.force_flush())),
        ])
        .await
    }

    /// Sends the rest and stops; says whether all of it was taken. The last thing in `main`, after
    /// the servers have drained. An endpoint that does not answer holds it up for five seconds.
    pub async fn shutdown(self) -> bool {
        let Providers {
            traces,
            metrics,
            logs,
        } = self.providers;
        settle([
            traces.map(|traces| blocking(move || traces.shutdown())),
            metrics.map(|metrics| blocking(move || metrics.shutdown())),
            logs.map(|logs| blocking(move || logs.shutdown())),
        ])
        .await
    }
}

type Sending = tokio::task::JoinHandle<OTelSdkResult>;

/// Sending blocks until the endpoint has answered, so it gets a thread that may block.
fn blocking(send: impl FnOnce() -> OTelSdkResult + Send + 'static) -> Sending {
    tokio::task::spawn_blocking(send)
}

async fn settle(sending: [Option<Sending>; 3]) -> bool {
    let mut taken = true;
    for sent in sending.into_iter().flatten() {
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "telemetry was not taken");
                taken = false;
            }
            Err(_) => taken = false,
        }
    }
    taken
}
