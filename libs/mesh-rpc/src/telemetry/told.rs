//! What if the OTLP endpoint does not answer?
//!
//! Nobody waits for it: what is to be sent waits in queues that are bounded, and what does not fit is
//! dropped. It is said once when it begins, and once when it is over. The library would say it at every
//! attempt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing::Metadata;

/// What the endpoint takes. Copies share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoint {
    /// The kinds of telemetry that it did not take when they were last sent.
    refused: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// An exporter that tells when the endpoint stops taking what it sends, and when that is over.
#[derive(Debug)]
pub(super) struct Told<E> {
    exporter: E,
    sends: &'static str,
    endpoint: Endpoint,
}

/// Whether an event is said by nobody else in better words: the library says at each attempt that a sending failed,
/// and of each line after the end that it comes too late.
pub(super) fn is_news(event: &Metadata<'_>) -> bool {
    let name = event.name();
    let sending = name.starts_with("Export.")
        || name.ends_with("ExportError")
        || name.ends_with("AfterShutdown");
    !(sending && event.target().starts_with("opentelemetry"))
}

impl Endpoint {
    fn hear(&self, sends: &'static str, sent: &OTelSdkResult) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let was_well = refused.is_empty();
        let news = match sent {
            Ok(()) => refused.remove(sends) && refused.is_empty(),
            Err(_) => refused.insert(sends) && was_well,
        };
        drop(refused);
        match sent {
            _ if !news => {}
            Ok(()) => tracing::info!("the OTLP endpoint takes telemetry again"),
            Err(error) => tracing::warn!(
                %error,
                first = sends,
                "the OTLP endpoint takes no telemetry: what does not fit into the queues is lost until it does"
            ),
        }
    }
}

impl<E> Told<E> {
    pub(super) fn new(exporter: E, sends: &'static str, endpoint: &Endpoint) -> Self {
        Self {
            exporter,
            sends,
            endpoint: endpoint.clone(),
        }
    }

    fn tell(&self, sent: OTelSdkResult) -> OTelSdkResult {
        self.endpoint.hear(self.sends, &sent);
        sent
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.tell(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Told<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.tell(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Told<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.tell(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;
    use tracing::Subscriber;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<tracing::Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    #[test]
    fn the_library_does_not_say_it_too() {
        let said = Levels::default();
        let news = said.clone().with_filter(filter_fn(is_news));
        let log = tracing_subscriber::registry().with(news);
        let _log = tracing::subscriber::set_default(log);
        // As `otel_warn!` and `otel_error!` of the versions in use do.
        tracing::warn!(name: "Export.Failed.Exhausted", target: "opentelemetry-otlp", "lost");
        tracing::error!(name: "BatchSpanProcessor.ExportError", target: "opentelemetry_sdk", "lost");
        tracing::warn!(name: "BatchLogProcessor.Emit.AfterShutdown", target: "opentelemetry_sdk", "late");
        assert!(said.0.lock().unwrap().is_empty());
        tracing::error!(name: "BatchSpanProcessor.SpanDroppingStarted", target: "opentelemetry_sdk", "full");
        assert_eq!(said.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_endpoint_that_takes_nothing_is_told_of_once() {
        let said = Levels::default();
        let log = tracing_subscriber::registry().with(said.clone());
        let _log = tracing::subscriber::set_default(log);
        let said = || std::mem::take(&mut *said.0.lock().unwrap());
        let endpoint = Endpoint::default();
        let fails = || Err(OTelSdkError::InternalFailure("away".to_owned()));
        endpoint.hear("spans", &Ok(()));
        assert!(said().is_empty(), "nothing was wrong");
        for _ in 0..3 {
            endpoint.hear("spans", &fails());
            endpoint.hear("metrics", &fails());
        }
        assert_eq!(said(), [tracing::Level::WARN]);
        endpoint.hear("spans", &Ok(()));
        assert!(said().is_empty(), "not all of it is taken");
        endpoint.hear("metrics", &Ok(()));
        endpoint.hear("logs", &Ok(()));
        assert_eq!(said(), [tracing::Level::INFO]);
        endpoint.hear("logs", &fails());
        assert_eq!(said(), [tracing::Level::WARN]);
    }
}
