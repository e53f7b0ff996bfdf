//! An OTLP endpoint that keeps the spans of this process, and what its metrics are; and what Prometheus would fetch
//! from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use mesh_rpc::{LogFormat, Telemetry, TelemetryOptions};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// How often what has ended is sent, so that no test waits for the exporter's own pace.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());
static METRICS: Mutex<BTreeMap<String, Emitted>> = Mutex::new(BTreeMap::new());
static RECORDS: Mutex<String> = Mutex::new(String::new());
static SCRAPED: OnceLock<SocketAddr> = OnceLock::new();

/// What a metric is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) unit: String,
    /// Those of any of its series.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) description: String,
}

/// All metrics that have arrived, by their names.
pub(crate) fn emitted() -> BTreeMap<String, Emitted> {
    METRICS.lock().unwrap().clone()
}

/// All records of logs that have arrived, one a line.
pub(crate) fn records() -> String {
    RECORDS.lock().unwrap().clone()
}

/// What Prometheus would fetch now.
pub(crate) async fn scraped() -> String {
    let mut stream = TcpStream::connect(SCRAPED.get().unwrap()).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: metrics\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// All spans that have arrived.
pub(crate) fn spans() -> Vec<Span> {
    SPANS.lock().unwrap().clone()
}

/// The value of a text attribute.
pub(crate) fn attribute<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The values of an attribute that is a list of texts.
pub(crate) fn texts(span: &Span, key: &str) -> Vec<String> {
    let mut found = span.attributes.iter();
    let found = found.find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    let Some(Value::ArrayValue(list)) = value else {
        return Vec::new();
    };
    let texts = list
        .values
        .into_iter()
        .filter_map(|value| match value.value {
            Some(Value::StringValue(text)) => Some(text),
            _ => None,
        });
    texts.collect()
}

/// Starts the endpoint and installs telemetry that sends to it, once per process. Both live on a
/// thread of their own, because each test's runtime ends with the test.
pub(crate) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let (installed, is_installed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build();
            runtime.unwrap().block_on(serve(&installed));
        });
        is_installed.recv().unwrap();
    });
}

async fn serve(installed: &std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Endpoint))
        .add_service(MetricsServiceServer::new(Endpoint))
        .add_service(LogsServiceServer::new(Endpoint))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(server);
    let telemetry = Telemetry::install(&TelemetryOptions {
        otlp_endpoint: Some(endpoint),
        format: LogFormat::Off,
        metric_interval: Duration::from_millis(500),
        metrics_listen: Some(([127, 0, 0, 1], 0).into()),
        ..TelemetryOptions::new("tests")
    });
    let telemetry = telemetry.unwrap();
    SCRAPED.set(telemetry.metrics_address().unwrap()).unwrap();
    installed.send(()).unwrap();
    let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
    while !server.is_finished() {
        ticks.tick().await;
        telemetry.flush().await;
    }
}

struct Endpoint;

#[tonic::async_trait]
impl TraceService for Endpoint {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        SPANS
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Endpoint {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let mut all = METRICS.lock().unwrap();
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let emitted = all.entry(metric.name.clone()).or_default();
            emitted.labels.extend(labels(&metric));
            emitted.unit = metric.unit;
            emitted.description = metric.description;
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Endpoint {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_logs);
        let mut all = RECORDS.lock().unwrap();
        for record in scopes.flat_map(|scope| scope.log_records) {
            writeln!(all, "{record:?}").unwrap();
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// The labels of all series of a metric.
fn labels(metric: &Metric) -> Vec<String> {
    let numbers = |points: &[_]| -> Vec<KeyValue> {
        let points = points.iter();
        points
            .flat_map(|point: &NumberDataPoint| point.attributes.clone())
            .collect()
    };
    let attributes = match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => numbers(&gauge.data_points),
        Data::Sum(sum) => numbers(&sum.data_points),
        Data::Histogram(histogram) => {
            let points = histogram.data_points.iter();
            points.flat_map(|point| point.attributes.clone()).collect()
        }
        other => panic!("{other:?}"),
    };
    attributes.into_iter().map(|label| label.key).collect()
}
