//! What is sent to the OTLP endpoint, and whose is it?

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::sampler::MeshSampler;
use super::scrape::Scrapes;
use super::told::{Endpoint, Told};
use super::{TelemetryError, TelemetryOptions};

/// What makes spans, metrics and records of logs, where somebody wants them.
#[derive(Debug, Clone, Default)]
pub(super) struct Providers {
    pub(super) traces: Option<SdkTracerProvider>,
    pub(super) metrics: Option<SdkMeterProvider>,
    pub(super) logs: Option<SdkLoggerProvider>,
}

impl Providers {
    pub(super) fn of(
        options: &TelemetryOptions,
        scrapes: Option<&Scrapes>,
    ) -> Result<Self, TelemetryError> {
        let resource = resource(&options.service);
        let mut providers = Self::default();
        let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone());
        if let Some(url) = &options.otlp_endpoint {
            let endpoint = Endpoint::default();
            let spans = SpanExporter::builder().with_tonic().with_endpoint(url);
            let traces = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_sampler(MeshSampler::new(options.sample_ratio))
                .with_batch_exporter(Told::new(spans.build()?, "spans", &endpoint));
            providers.traces = Some(traces.build());
            let records = LogExporter::builder().with_tonic().with_endpoint(url);
            let logs = SdkLoggerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(Told::new(records.build()?, "logs", &endpoint));
            providers.logs = Some(logs.build());
            let pushed = MetricExporter::builder().with_tonic().with_endpoint(url);
            let pushed = Told::new(pushed.build()?, "metrics", &endpoint);
            let reader = PeriodicReader::builder(pushed).with_interval(options.metric_interval);
            metrics = metrics.with_reader(reader.build());
        }
        if let Some(scrapes) = scrapes {
            metrics = metrics.with_reader(scrapes.reader()?);
        }
        if options.otlp_endpoint.is_some() || scrapes.is_some() {
            providers.metrics = Some(metrics.build());
        }
        Ok(providers)
    }
}

/// What the process is, by OpenTelemetry's conventions. What `OTEL_RESOURCE_ATTRIBUTES` says holds,
/// but for the service's name, which alerts and dashboards rely on.
fn resource(service: &str) -> Resource {
    let told = Resource::builder().build();
    let node = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let ours = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ("host.name", node),
    ];
    let missing = ours
        .into_iter()
        .filter(|(key, _)| told.get(&Key::new(*key)).is_none())
        .map(|(key, value)| KeyValue::new(key, value));
    Resource::builder()
        .with_attributes(missing)
        .with_service_name(service.to_owned())
        .build()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};

    use super::*;

    /// More than the queues hold, so that some have to be dropped.
    const MANY: usize = 10_000;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_endpoint_that_never_answers_holds_nobody_up() {
        // Connections are made by the kernel, and nobody ever reads from them.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let options = TelemetryOptions {
            otlp_endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
            ..TelemetryOptions::new("tests")
        };
        let providers = Providers::of(&options, None).unwrap();
        let tracer = providers.traces.as_ref().unwrap().tracer("tests");
        let meter = providers.metrics.as_ref().unwrap().meter("tests");
        let counter = meter.u64_counter("calls").build();
        let began = Instant::now();
        for _ in 0..MANY {
            drop(tracer.start("call"));
            counter.add(1, &[]);
        }
        let each = began.elapsed() / u32::try_from(MANY).unwrap();
        assert!(each.as_micros() < 500, "{each:?}");
        let telemetry = crate::Telemetry {
            providers,
            served: None,
        };
        assert!(!telemetry.shutdown().await, "nothing was taken");
        let ended = began.elapsed().as_secs();
        assert!(ended < 30, "{ended} s");
    }

    #[test]
    fn each_start_of_a_service_is_an_instance_of_it() {
        let [first, second] = [resource("flag-registry"), resource("flag-registry")];
        let text = |of: &Resource, key: &'static str| of.get(&Key::new(key)).unwrap().to_string();
        assert_eq!(text(&first, "service.name"), "flag-registry");
        assert_eq!(text(&first, "service.version"), env!("CARGO_PKG_VERSION"));
        assert_ne!(text(&first, "host.name"), "");
        let instance = "service.instance.id";
        assert_ne!(text(&first, instance), text(&second, instance));
    }
}
