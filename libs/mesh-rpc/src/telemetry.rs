//! Where do logs, spans and metrics go?
//!
//! Logs go to standard error; spans and metrics to an OTLP endpoint if there is one. Installed once
//! per process, first thing in `main`: instruments that were made earlier measure nothing.

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample,
};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::log_line::LogLines;
use crate::log_rate::LogRate;
use crate::traceparent::FromOutside;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
    /// No log at all, for a command whose output is its own.
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
    /// Where spans and metrics go, such as `http://127.0.0.1:4317` (OTLP over gRPC).
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that is kept, from 0 to 1, of those begun here and of those that come
    /// from outside. A trace that comes from another service of the mesh is kept if that one
    /// keeps it.
    pub sample_ratio: f64,
    /// How often metrics are sent.
    pub metric_interval: Duration,
}

impl TelemetryOptions {
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
    #[error("spans and metrics cannot be exported")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A subscriber is installed already.
    #[error("telemetry is installed already")]
    Installed,
}

/// What was installed. [`Telemetry::shutdown`] sends what has not been sent yet.
#[derive(Debug)]
#[must_use = "what is not flushed at the end is lost"]
pub struct Telemetry {
    /// Both, or none without an endpoint.
    providers: Option<(SdkTracerProvider, SdkMeterProvider)>,
}

impl Telemetry {
    /// Installs the subscriber, and the exporters if there is an endpoint. Must be called within a
    /// tokio runtime.
    pub fn install(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(&options.filter)
            .map_err(|_| TelemetryError::Filter(options.filter.clone()))?;
        let providers = providers(options)?;
        let spans = providers.as_ref().map(|(traces, _)| {
            tracing_opentelemetry::layer()
                .with_tracer(traces.tracer("mesh-rpc"))
                .with_filter(LevelFilter::INFO)
        });
        let rate = LogRate::new();
        let log = log_layer::<Registry>(options.format, &rate);
        let log = log.map(|log| log.with_filter(filter.and(rate.clone())));
        tracing_subscriber::registry()
            .with(log)
            .with(spans)
            .try_init()
            .map_err(|_| TelemetryError::Installed)?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        if let Some((traces, metrics)) = &providers {
            opentelemetry::global::set_tracer_provider(traces.clone());
            opentelemetry::global::set_meter_provider(metrics.clone());
            rate.count_with(&opentelemetry::global::meter("mesh-rpc"));
        }
        Ok(Self { providers })
    }

    /// Sends what has ended so far; says whether all of it was taken.
    pub async fn flush(&self) -> bool {
        self.settle(
            SdkTracerProvider::force_flush,
            SdkMeterProvider::force_flush,
        )
        .await
    }

    /// Sends the rest and stops; says whether all of it was taken. The last thing in `main`, after
    /// the servers have drained.
    pub async fn shutdown(self) -> bool {
        self.settle(SdkTracerProvider::shutdown, SdkMeterProvider::shutdown)
            .await
    }

    /// Both block until the endpoint has answered, so they get a thread that may block.
    async fn settle(
        &self,
        traces: fn(&SdkTracerProvider) -> Result<(), OTelSdkError>,
        metrics: fn(&SdkMeterProvider) -> Result<(), OTelSdkError>,
    ) -> bool {
        let Some((tracer, meter)) = self.providers.clone() else {
            return true;
        };
        let sent = tokio::task::spawn_blocking(move || (traces(&tracer), metrics(&meter))).await;
        let Ok((traces, metrics)) = sent else {
            return false;
        };
        for error in [&traces, &metrics]
            .into_iter()
            .filter_map(|r| r.as_ref().err())
        {
            tracing::warn!(%error, "telemetry was not taken");
        }
        traces.is_ok() && metrics.is_ok()
    }
}

fn providers(
    options: &TelemetryOptions,
) -> Result<Option<(SdkTracerProvider, SdkMeterProvider)>, TelemetryError> {
    let Some(endpoint) = &options.otlp_endpoint else {
        return Ok(None);
    };
    let resource = Resource::builder()
        .with_service_name(options.service.clone())
        .build();
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(MeshSampler::new(options.sample_ratio))
        .with_batch_exporter(spans)
        .build();
    let metrics = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let reader = opentelemetry_sdk::metrics::PeriodicReader::builder(metrics)
        .with_interval(options.metric_interval)
        .build();
    let metrics = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build();
    Ok(Some((traces, metrics)))
}

/// Keeps what the caller keeps if the caller is of the mesh. Whoever is not has no say: it could
/// fill the tracing backend, or go unseen. Its trace id is its own choice, so that a decision by
/// that would be too.
#[derive(Debug, Clone)]
struct MeshSampler {
    ratio: f64,
    inside: Sampler,
}

impl MeshSampler {
    fn new(ratio: f64) -> Self {
        let begun_here = Sampler::TraceIdRatioBased(ratio);
        Self {
            ratio,
            inside: Sampler::ParentBased(Box::new(begun_here)),
        }
    }
}

impl ShouldSample for MeshSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let Some(parent) = parent.filter(|parent| came_from_outside(parent)) else {
            let inside = &self.inside;
            return inside.should_sample(parent, trace, name, kind, attributes, links);
        };
        SamplingResult {
            decision: if rand::random::<f64>() < self.ratio {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: parent.span().span_context().trace_state().clone(),
        }
    }
}

/// Spans within the mesh inherit the mark, but their parent is one of ours.
fn came_from_outside(parent: &Context) -> bool {
    parent.get::<FromOutside>().is_some() && parent.span().span_context().is_remote()
}

fn log_layer<S>(format: LogFormat, rate: &LogRate) -> Option<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let coloured = std::io::stderr().is_terminal();
    let lines = |json| LogLines {
        to: std::io::stderr,
        coloured,
        json,
        rate: rate.clone(),
    };
    let layer = tracing_subscriber::fmt::layer().with_ansi(coloured);
    match format {
        LogFormat::Text => Some(layer.with_writer(lines(false)).boxed()),
        LogFormat::Json => Some(layer.with_writer(lines(true)).json().boxed()),
        LogFormat::Off => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn parent(flags: TraceFlags, remote: bool) -> Context {
        let (trace, span) = (TraceId::from(1_u128), SpanId::from(1_u64));
        let state = TraceState::default();
        let span = SpanContext::new(trace, span, flags, remote, state);
        Context::new().with_remote_span_context(span)
    }

    fn is_kept(ratio: f64, parent: &Context) -> bool {
        let trace = parent.span().span_context().trace_id();
        let sampler = MeshSampler::new(ratio);
        let result = sampler.should_sample(Some(parent), trace, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn only_the_mesh_itself_decides_what_is_kept() {
        let (kept, dropped) = (TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED);
        for ratio in [0.0, 1.0] {
            for flags in [kept, dropped] {
                let outside = parent(flags, true).with_value(FromOutside);
                assert_eq!(is_kept(ratio, &outside), ratio > 0.5, "from outside");
                assert_eq!(is_kept(ratio, &parent(flags, true)), flags == kept);
                let child = parent(flags, false).with_value(FromOutside);
                assert_eq!(is_kept(ratio, &child), flags == kept, "a child of ours");
            }
        }
    }
}
