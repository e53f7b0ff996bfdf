//! What is logged where?
//!
//! Lines on standard error, and records to the OTLP endpoint. Both carry the trace and the span in which
//! the event happened, if there is one.

use std::io::IsTerminal as _;

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::log_line::LogLines;
use crate::log_rate::LogRate;

/// What a record is sent over, so that what these crates say below a warning is said of its sending, too, and would
/// be sent again for ever.
const CARRIERS: [&str; 6] = ["opentelemetry", "tonic", "tower", "hyper", "h2", "rustls"];

type Log<S> = Box<dyn Layer<S> + Send + Sync>;

/// Logs to standard error in `format`, and to `records` if there are any.
pub(super) fn layer<S>(
    format: LogFormat,
    rate: &LogRate,
    records: Option<&SdkLoggerProvider>,
) -> Option<Log<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let mut layers = Vec::new();
    layers.extend(lines(format, rate));
    layers.extend(records.map(|provider| {
        let bridge = OpenTelemetryTracingBridge::new(provider);
        Records { bridge }.boxed()
    }));
    (!layers.is_empty()).then(|| layers.boxed())
}

fn lines<S>(format: LogFormat, rate: &LogRate) -> Option<Log<S>>
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

/// Sends events as records.
struct Records {
    bridge: OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>,
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_a_carriers(event) {
            self.bridge.on_event(event, context);
        }
    }
}

fn is_a_carriers(event: &Event<'_>) -> bool {
    if *event.metadata().level() <= Level::WARN {
        return false;
    }
    // Of a record of the `log` crate the target is that of its crate.
    let named = event.normalized_metadata();
    let target = named.as_ref().unwrap_or_else(|| event.metadata()).target();
    let names = |carrier: &&str| {
        let rest = target.strip_prefix(*carrier);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    };
    CARRIERS.iter().any(names)
}

#[cfg(test)]
mod tests {
    use opentelemetry::logs::AnyValue;
    use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
    use opentelemetry_sdk::logs::InMemoryLogExporter;
    use opentelemetry_sdk::logs::in_memory_exporter::LogDataWithResource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is recorded while `work` is done, with all of the log on.
    fn recorded(work: impl FnOnce()) -> Vec<LogDataWithResource> {
        let exporter = InMemoryLogExporter::default();
        let provider = SdkLoggerProvider::builder().with_simple_exporter(exporter.clone());
        let provider = provider.build();
        let rate = LogRate::new();
        let log = layer::<Registry>(LogFormat::Off, &rate, Some(&provider)).unwrap();
        let traces = SdkTracerProvider::builder().build();
        let spans = tracing_opentelemetry::layer().with_tracer(traces.tracer("tests"));
        let subscriber = Registry::default().with(log.with_filter(rate)).with(spans);
        tracing::subscriber::with_default(subscriber, work);
        exporter.get_emitted_logs().unwrap()
    }

    fn body(log: &LogDataWithResource) -> String {
        match log.record.body() {
            Some(AnyValue::String(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_tells_of_which_span_it_is() {
        let mut ids = None;
        let records = recorded(|| {
            let span = tracing::info_span!("call");
            let context = span.context();
            let of_span = context.span().span_context().clone();
            ids = Some((of_span.trace_id(), of_span.span_id()));
            span.in_scope(|| tracing::warn!(code = 7, "a thing happened"));
            tracing::info!("another");
        });
        let [inside, outside] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(body(inside), "a thing happened");
        let of = inside.record.trace_context().unwrap();
        assert_eq!(Some((of.trace_id, of.span_id)), ids);
        assert!(outside.record.trace_context().is_none());
    }

    #[test]
    fn what_carries_records_is_not_recorded_unless_it_warns() {
        let records = recorded(|| {
            tracing::debug!(target: "h2::codec", "a frame");
            tracing::info!(target: "opentelemetry_sdk", "a batch");
            tracing::trace!(target: "hyper_util::client", "a connection");
            tracing::debug!(target: "tonic", "a call");
            tracing::warn!(target: "h2::codec", "trouble");
            tracing::debug!(target: "towers", "another crate");
        });
        let bodies: Vec<_> = records.iter().map(body).collect();
        assert_eq!(bodies, ["trouble", "another crate"]);
    }

    #[test]
    fn records_of_a_kind_are_as_few_as_lines() {
        // More if this takes longer than a second, but never all.
        let records = recorded(|| (0..1_000).for_each(|_| tracing::warn!("a thing happened")));
        assert!((20..100).contains(&records.len()), "{}", records.len());
    }
}
