//! Handlers that do what the request's header asks for.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use mesh_authz::{Ending, Identity};
use mesh_rpc::Draining;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

/// The header that says what the handler does.
pub(crate) const BEHAVIOUR: &str = "test-behaviour";

/// What all handlers of one server share.
#[derive(Debug, Clone)]
pub(crate) struct Handlers {
    draining: Draining,
    called: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Handlers {
    pub(crate) fn new(draining: Draining) -> Self {
        Self {
            draining,
            called: Arc::default(),
            waiting: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::default()
            .add_service(Flags(self.clone()))
            .add_service(Classification(self.clone()))
    }

    /// How many calls reached a handler.
    pub(crate) fn called(&self) -> usize {
        self.called.load(Ordering::SeqCst)
    }

    /// How many handlers wait at the gate now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets this many waiting handlers go on.
    pub(crate) fn open_gate(&self, count: usize) {
        self.gate.add_permits(count);
    }

    async fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let leave = Leave(self.waiting.clone());
        self.gate.acquire().await.unwrap().forget();
        drop(leave);
    }

    async fn handle(self, request: Request<Body>) -> Response<Body> {
        self.called.fetch_add(1, Ordering::SeqCst);
        let behaviour = request.headers().get(BEHAVIOUR);
        match behaviour.map_or("", |value| value.to_str().unwrap()) {
            "echo" => echo(request),
            "report" => one(&report(&request)),
            "whatever comes" => {
                // The outcome is ignored on purpose.
                let _ = request.into_body().collect().await;
                one("fine")
            }
            "wait" => {
                self.wait().await;
                echo(request)
            }
            "panic" => panic!("asked to"),
            "panic in stream" => then(async { panic!("asked to, later") }),
            "until draining" => then(async move { self.draining.started().await }),
            "until ending" => {
                let ending = request.extensions().get::<Ending>().unwrap().clone();
                then(async move { ending.begun().await })
            }
            "whatever comes in stream" => then(async {
                let _ = request.into_body().collect().await;
            }),
            "for ever" => then(pending()),
            other => panic!("no such behaviour: {other:?}"),
        }
    }
}

struct Leave(Arc<AtomicUsize>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn grpc(body: Body) -> Response<Body> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body).unwrap()
}

fn ok() -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    Frame::trailers(trailers)
}

fn message(text: &str) -> Frame<Bytes> {
    let length = u32::try_from(text.len()).unwrap();
    let octets = [&[0], &length.to_be_bytes()[..], text.as_bytes()].concat();
    Frame::data(octets.into())
}

/// The request's messages, as they come.
fn echo(request: Request<Body>) -> Response<Body> {
    let end = futures::stream::iter([Ok(ok())]);
    grpc(Body::new(StreamBody::new(
        BodyStream::new(request.into_body()).chain(end),
    )))
}

fn one(text: &str) -> Response<Body> {
    let frames = [Ok::<_, Status>(message(text)), Ok(ok())];
    grpc(Body::new(StreamBody::new(futures::stream::iter(frames))))
}

/// One message, then what `rest` does, then a good end.
fn then(rest: impl Future<Output = ()> + Send + 'static) -> Response<Body> {
    let first = futures::stream::iter([Ok::<_, Status>(message("first"))]);
    let last = futures::stream::once(async move {
        rest.await;
        Ok(ok())
    });
    grpc(Body::new(StreamBody::new(first.chain(last)).boxed_unsync()))
}

/// What the handler knows of its call, a line each.
fn report(request: &Request<Body>) -> String {
    let identity = request.extensions().get::<Identity>();
    let mut lines = vec![format!("identity={identity:?}")];
    lines.push(format!("remaining={:?}", mesh_rpc::remaining()));
    lines.push(format!("trace={:?}", mesh_rpc::current_traceparent()));
    for (name, value) in request.headers() {
        lines.push(format!("{name}: {}", value.to_str().unwrap_or("?")));
    }
    lines.join("\n")
}

macro_rules! service {
    ($service:ident, $name:literal) => {
        #[derive(Debug, Clone)]
        struct $service(Handlers);

        impl NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl Service<Request<Body>> for $service {
            type Response = Response<Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

            fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<Body>) -> Self::Future {
                let handlers = self.0.clone();
                Box::pin(async move { Ok(handlers.handle(request).await) })
            }
        }
    };
}

service!(Flags, "mp169.flag_registry.v1.FlagService");
service!(
    Classification,
    "mp169.classification.v1.ClassificationService"
);
