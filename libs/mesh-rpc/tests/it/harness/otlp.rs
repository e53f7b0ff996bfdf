//! An OTLP endpoint that keeps what it gets, for all tests of this process.

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
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    spans: Mutex<Vec<Span>>,
    metrics: Mutex<Vec<Metric>>,
    logs: Mutex<Vec<ResourceLogs>>,
}

/// Everything that arrived in this process so far.
pub(crate) fn collected() -> &'static Collected {
    static COLLECTED: OnceLock<Collected> = OnceLock::new();
    COLLECTED.get_or_init(Collected::default)
}

impl Collected {
    /// The spans of one trace, given by its 32 hex digits.
    pub(crate) fn trace(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let of_trace = |span: &&Span| hex(&span.trace_id) == trace;
        spans.iter().filter(of_trace).cloned().collect()
    }

    /// The records of one trace, given by its 32 hex digits, each with the attributes of its resource.
    pub(crate) fn records(&self, trace: &str) -> Vec<(Vec<(String, String)>, LogRecord)> {
        let logs = self.logs.lock().unwrap();
        let records = logs.iter().flat_map(|logs| {
            let resource = labels(&logs.resource.as_ref().unwrap().attributes);
            let records = logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
            records.map(move |record| (resource.clone(), record.clone()))
        });
        let of_trace = |record: &LogRecord| hex(&record.trace_id) == trace;
        records.filter(|(_, record)| of_trace(record)).collect()
    }

    /// The newest value of each series of a metric: its labels, and a histogram's count or a sum.
    pub(crate) fn series(&self, name: &str) -> Vec<(Vec<(String, String)>, f64)> {
        let metrics = self.metrics.lock().unwrap();
        let Some(newest) = metrics.iter().rev().find(|metric| metric.name == name) else {
            return vec![];
        };
        match newest.data.as_ref().unwrap() {
            Data::Histogram(histogram) => histogram
                .data_points
                .iter()
                .map(|point| (labels(&point.attributes), count(point.count)))
                .collect(),
            Data::Sum(sum) => sum
                .data_points
                .iter()
                .map(|point| {
                    (
                        labels(&point.attributes),
                        number(point.value.as_ref().unwrap()),
                    )
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts in a test are small")]
fn count(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts in a test are small")]
fn number(value: &opentelemetry_proto::tonic::metrics::v1::number_data_point::Value) -> f64 {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::{AsDouble, AsInt};
    match value {
        AsDouble(value) => *value,
        AsInt(value) => *value as f64,
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Attributes as text, sorted by name.
pub(crate) fn labels(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let mut labels: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().and_then(|v| v.value.as_ref());
            let text = match value {
                Some(Value::StringValue(text)) => text.clone(),
                Some(Value::IntValue(number)) => number.to_string(),
                other => format!("{other:?}"),
            };
            (attribute.key.clone(), text)
        })
        .collect();
    labels.sort();
    labels
}

/// Starts the endpoint and installs telemetry, once; both live on a thread of their own, because
/// each test's runtime ends with the test.
pub(crate) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let (installed, is_installed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(&installed));
        });
        is_installed.recv().unwrap();
    });
}

async fn serve(installed: &std::sync::mpsc::Sender<()>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Endpoint))
        .add_service(MetricsServiceServer::new(Endpoint))
        .add_service(LogsServiceServer::new(Endpoint))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(server);
    let format = match super::process::folder() {
        Some(_) => LogFormat::Text,
        None => LogFormat::Off,
    };
    let telemetry = Telemetry::install(&TelemetryOptions {
        otlp_endpoint: Some(endpoint),
        format,
        metric_interval: Duration::from_millis(100),
        ..TelemetryOptions::new("tests")
    })
    .unwrap();
    installed.send(()).unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
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
        let mut spans = collected().spans.lock().unwrap();
        spans.extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(Default::default()))
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
        let mut metrics = collected().metrics.lock().unwrap();
        metrics.extend(scopes.flat_map(|scope| scope.metrics));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Endpoint {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let logs = request.into_inner().resource_logs;
        collected().logs.lock().unwrap().extend(logs);
        Ok(Response::new(Default::default()))
    }
}
