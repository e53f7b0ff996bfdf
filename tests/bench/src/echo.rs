//! What is a bare server of the same messages?
//!
//! tonic's own server over mTLS and nothing else: it reads each request as the service does, and
//! sends an answer that the service gave to that request before. So both sides move the same
//! octets and read and write the same messages; what differs is the chain and the work.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use mesh_api::classification::v1 as wire;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Status, Streaming};
use tower::{Service, service_fn};

use crate::codec::Shared;

/// The method of one message.
pub(crate) const CLASSIFY: &str = "/mp169.classification.v1.ClassificationService/Classify";
/// The method of streams.
pub(crate) const CLASSIFY_STREAM: &str =
    "/mp169.classification.v1.ClassificationService/ClassifyStream";

/// What the bare server answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    /// Each call.
    pub(crate) unary: Arc<wire::ClassifyResponse>,
    /// The requests of a stream in their order, over and over.
    pub(crate) streamed: Arc<[Arc<wire::ClassifyStreamResponse>]>,
}

/// A running server, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) address: String,
    _serving: AbortOnDropHandle<()>,
}

impl Echo {
    /// Serves `answers` on a free port.
    pub(crate) async fn start(tls: ServerTlsConfig, answers: Answers) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let router = Server::builder().tls_config(tls)?.add_service(answers);
        let serving = tokio::spawn(async move {
            // Whoever calls notices that it ended.
            let _ = router.serve_with_incoming(incoming).await;
        });
        Ok(Self {
            address,
            _serving: AbortOnDropHandle::new(serving),
        })
    }
}

impl NamedService for Answers {
    const NAME: &'static str = "mp169.classification.v1.ClassificationService";
}

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match request.uri().path() {
            CLASSIFY => {
                let answer = Arc::clone(&self.unary);
                let method = service_fn(move |_: tonic::Request<wire::ClassifyRequest>| {
                    ready(Ok(tonic::Response::new(Arc::clone(&answer))))
                });
                let mut grpc = grpc();
                async move { Ok(grpc.unary(method, request).await) }.boxed()
            }
            CLASSIFY_STREAM => {
                let answers = Arc::clone(&self.streamed);
                let method = service_fn(
                    move |requests: tonic::Request<Streaming<wire::ClassifyStreamRequest>>| {
                        let answers = Arc::clone(&answers);
                        let numbered = requests.into_inner().enumerate();
                        let answered = numbered.map(move |(number, request)| {
                            request.map(|_| Arc::clone(&answers[number % answers.len()]))
                        });
                        ready(Ok(tonic::Response::new(answered)))
                    },
                );
                let mut grpc = grpc();
                async move { Ok(grpc.streaming(method, request).await) }.boxed()
            }
            _ => ready(Ok(Status::unimplemented("no such method").into_http())).boxed(),
        }
    }
}

/// Takes requests as large as the service does.
fn grpc<T, U>() -> Grpc<Shared<T, U>>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    Grpc::new(Shared::default()).max_decoding_message_size(usize::MAX)
}
