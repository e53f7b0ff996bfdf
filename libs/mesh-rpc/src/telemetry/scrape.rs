//! What is answered to Prometheus?
//!
//! The metrics of this process, on a listener of their own: `GET /metrics` and nothing else, without
//! TLS and for anybody who reaches it. So it is off unless it is asked for, and belongs on a network
//! that only the collector reaches. It ends with the process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::TelemetryError;

/// Connections at a time; a collector needs one.
const CONNECTIONS: usize = 8;
/// How long a connection may last: one request, and its answer read.
const CONNECTION: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be accepted, for want of open files say.
const PAUSE: Duration = Duration::from_secs(1);

/// What Prometheus may fetch, before it may.
#[derive(Debug)]
pub(super) struct Scrapes {
    registry: Registry,
    listener: TcpListener,
    address: SocketAddr,
}

/// What Prometheus may fetch, until it is dropped.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scrapes {
    pub(super) fn bind(address: SocketAddr) -> Result<Self, TelemetryError> {
        let bound = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bound().map_err(|error| TelemetryError::Listen(address, error))?;
        Ok(Self {
            registry: Registry::new(),
            // It has one, as it is bound.
            address: listener.local_addr().unwrap_or(address),
            listener,
        })
    }

    /// Reads the metrics of a provider when they are fetched.
    pub(super) fn reader(&self) -> Result<PrometheusExporter, TelemetryError> {
        opentelemetry_prometheus::exporter()
            .with_registry(self.registry.clone())
            // As Prometheus does with what it gets by OTLP, so that queries fit both.
            .scope_info_enabled(false)
            .build()
            .map_err(TelemetryError::Collector)
    }

    pub(super) fn serve(self) -> Served {
        let address = self.address;
        tracing::info!(%address, "Prometheus may fetch metrics");
        let task = tokio::spawn(self.accept());
        Served { address, task }
    }

    async fn accept(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        // Fails if the semaphore is closed, which it never is.
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answered = answer_one(stream, self.registry.clone());
                    tokio::spawn(async move {
                        // Whoever is too slow, or speaks no HTTP, may come again.
                        let _ = tokio::time::timeout(CONNECTION, answered).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for metrics was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer_one(stream: TcpStream, registry: Registry) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &registry);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(method: &Method, path: &str, registry: &Registry) -> Response<Full<Bytes>> {
    if path != "/metrics" {
        return refusal(StatusCode::NOT_FOUND);
    }
    if method != Method::GET {
        return refusal(StatusCode::METHOD_NOT_ALLOWED);
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    if let Err(error) = encoder.encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be written as text");
        return refusal(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    let kind = HeaderValue::from_static(prometheus::TEXT_FORMAT);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut refusal = Response::new(Full::default());
    *refusal.status_mut() = status;
    refusal
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use opentelemetry::KeyValue;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ANYWHERE: &str = "127.0.0.1:0";

    async fn asked(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: metrics\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_fetched_under_the_names_that_prometheus_gives_them() {
        let scrapes = Scrapes::bind(ANYWHERE.parse().unwrap()).unwrap();
        let provider = SdkMeterProvider::builder().with_reader(scrapes.reader().unwrap());
        let provider = provider.build();
        let meter = provider.meter("tests");
        let served = scrapes.serve();
        let service = [KeyValue::new("mp169.service", "registration")];
        meter.u64_counter("mp169.calls").build().add(3, &service);
        let times = meter.f64_histogram("mp169.time").with_unit("s").build();
        times.record(0.5, &service);
        let answer = asked(served.address, "GET /metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        for line in [
            "mp169_calls_total{mp169_service=\"registration\"} 3\n",
            "mp169_time_seconds_count{mp169_service=\"registration\"} 1\n",
            "mp169_time_seconds_bucket{mp169_service=\"registration\",le=\"+Inf\"} 1\n",
            "target_info{",
        ] {
            assert!(answer.contains(line), "{line} in {answer}");
        }
        for (request, status) in [
            ("GET /", 404),
            ("GET /metrics/x", 404),
            ("POST /metrics", 405),
        ] {
            let answer = asked(served.address, request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn whoever_says_nothing_keeps_nobody_else_away() {
        let scrapes = Scrapes::bind(ANYWHERE.parse().unwrap()).unwrap();
        let served = scrapes.serve();
        let connect = || TcpStream::connect(served.address);
        let silent = futures::future::try_join_all((1..CONNECTIONS).map(|_| connect()));
        let silent = silent.await.unwrap();
        assert!(
            asked(served.address, "GET /metrics")
                .await
                .contains(" 200 ")
        );
        drop(silent);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told() {
        let taken = Scrapes::bind(ANYWHERE.parse().unwrap()).unwrap();
        let error = Scrapes::bind(taken.address).unwrap_err();
        assert!(matches!(error, TelemetryError::Listen(at, _) if at == taken.address));
    }

    #[tokio::test]
    async fn an_empty_registry_is_an_empty_answer() {
        let answer = answer(&Method::GET, "/metrics", &Registry::new());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.is_empty());
    }
}
