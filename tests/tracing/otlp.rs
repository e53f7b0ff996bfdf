//! An OTLP endpoint that keeps the spans of this process.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use mesh_rpc::{LogFormat, Telemetry, TelemetryOptions};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// How often what has ended is sent, so that no test waits for the exporter's own pace.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());

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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Endpoint))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(server);
    let telemetry = Telemetry::install(&TelemetryOptions {
        otlp_endpoint: Some(endpoint),
        format: LogFormat::Off,
        ..TelemetryOptions::new("tests")
    });
    let telemetry = telemetry.unwrap();
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
