//! A server of the mesh with handlers that do what a test asks for, and ways to call it.

mod codec;
mod handler;
mod journal;
mod otlp;
pub(crate) mod process;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::Either;
use http::uri::PathAndQuery;
use http::{Request, Response};
use mesh_authz::Identity;
use mesh_pki::Issued;
use mesh_rpc::{
    ClientOptions, Drained, Draining, Health, MeshChannel, Rpc, ServeOptions, Tls, TlsPem, connect,
};
use mesh_testkit::certificates;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::StdError;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Status, Streaming};
use tower::{Layer, Service};

pub(crate) use codec::Raw;
pub(crate) use handler::{BEHAVIOUR, Handlers};
pub(crate) use journal::{Kept, State, TestJournal};
pub(crate) use otlp::{collected, hex, labels};
pub(crate) use process::Process;

/// The name under which the test server runs and is called.
pub(crate) const SERVICE: &str = "flag-registry";
/// A unary RPC of the contracts.
pub(crate) const UNARY: &str = "/mp169.flag_registry.v1.FlagService/GetFlag";
/// A server-streaming RPC of the contracts.
pub(crate) const STREAM: &str = "/mp169.flag_registry.v1.FlagService/FollowFlags";
/// An RPC of the contracts that streams both ways.
pub(crate) const BOTH_WAYS: &str = "/mp169.classification.v1.ClassificationService/ClassifyStream";

/// The services of the contracts that the test server has.
pub(crate) const SERVED: [&str; 2] = [
    "mp169.flag_registry.v1.FlagService",
    "mp169.classification.v1.ClassificationService",
];

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) health: Health,
    pub(crate) handlers: Handlers,
    pub(crate) authorize: TestAuthorize,
    pub(crate) journal: TestJournal,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(
        configure: impl FnOnce(&mut ServeOptions<TestAuthorize>),
    ) -> Self {
        otlp::install();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls(&certificates().internal(SERVICE));
        let health = Health::new(&SERVED);
        let draining = Draining::new();
        let authorize = TestAuthorize::default();
        let journal = TestJournal::default();
        let handlers = Handlers::new(draining.clone());
        let mut options = ServeOptions::new(
            SERVICE,
            listener,
            tls.clone(),
            authorize.clone(),
            Arc::new(journal.clone()),
            health.clone(),
            draining,
        );
        configure(&mut options);
        let routes = handlers.routes();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                // A test that does not stop its server drops the sender.
                let _ = stopped.await;
            };
            mesh_rpc::serve(options, routes, shutdown).await.unwrap()
        });
        health.set(Ok(()));
        Self {
            address,
            tls,
            health,
            handlers,
            authorize,
            journal,
            stop,
            ended,
        }
    }

    /// A channel of the mesh, as the internal role `role`.
    pub(crate) fn channel(&self, role: &str) -> MeshChannel {
        self.channel_with(tls(&certificates().internal(role)))
    }

    pub(crate) fn channel_with(&self, tls: Tls) -> MeshChannel {
        connect(ClientOptions::new(SERVICE, self.address.to_string(), tls))
    }

    /// A channel of someone else's making, with this certificate or none.
    pub(crate) fn foreign(&self, certificate: Option<&Issued>) -> Channel {
        let trust = Certificate::from_pem(certificates().trust_pem());
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(trust)
            .domain_name(SERVICE);
        if let Some(issued) = certificate {
            let (certificate, key) = (issued.certificate_pem(), issued.key_pem());
            tls = tls.identity(tonic::transport::Identity::from_pem(certificate, key));
        }
        Endpoint::from_shared(format!("https://{}", self.address))
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect_lazy()
    }

    /// Gives the signal; the result comes when the server has drained.
    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.ended
    }
}

/// Certificate and key as issued, trusting the tests' authority.
pub(crate) fn tls(issued: &Issued) -> Tls {
    Tls::from_pem(pem(issued)).unwrap()
}

pub(crate) fn pem(issued: &Issued) -> TlsPem {
    TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    }
}

/// The TLS of a client without a certificate that trusts the authorities in `pem`.
pub(crate) fn guest(pem: &str) -> Arc<ClientConfig> {
    let mut trust = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    trust.add(authority).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(trust).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// What to call: an RPC, what its handler should do, and one message.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    message: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(path: &'static str, behaviour: &'static str) -> Self {
        Self {
            path,
            headers: vec![(BEHAVIOUR, behaviour.to_owned())],
            message: b"hello".to_vec(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn message(mut self, message: Vec<u8>) -> Self {
        self.message = message;
        self
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        for (name, value) in &self.headers {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    pub(crate) async fn unary<C>(&self, channel: C) -> Result<Vec<u8>, Status>
    where
        C: Caller,
        <C::ResponseBody as http_body::Body>::Error: Into<StdError>,
    {
        let mut client = grpc(channel).await?;
        let path = PathAndQuery::from_static(self.path);
        let request = self.request(self.message.clone());
        Ok(client.unary(request, path, Raw).await?.into_inner())
    }

    pub(crate) async fn stream<C>(&self, channel: C) -> Result<Streaming<Vec<u8>>, Status>
    where
        C: Caller,
        <C::ResponseBody as http_body::Body>::Error: Into<StdError>,
    {
        let mut client = grpc(channel).await?;
        let path = PathAndQuery::from_static(self.path);
        let request = self.request(self.message.clone());
        let answer = client.server_streaming(request, path, Raw).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn both_ways<C>(
        &self,
        channel: C,
        messages: impl futures::Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Streaming<Vec<u8>>, Status>
    where
        C: Caller,
        <C::ResponseBody as http_body::Body>::Error: Into<StdError>,
    {
        let mut client = grpc(channel).await?;
        let path = PathAndQuery::from_static(self.path);
        let answer = client.streaming(self.request(messages), path, Raw).await?;
        Ok(answer.into_inner())
    }
}

/// A channel of any make.
pub(crate) trait Caller:
    GrpcService<Body, ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static>
{
}

impl<C> Caller for C where
    C: GrpcService<Body, ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static>
{
}

async fn grpc<C: Caller>(channel: C) -> Result<Grpc<C>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(64 << 20);
    client
        .ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    Ok(client)
}

/// Lets everyone with an identity through, and everyone to health; counts the calls it judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestAuthorize(Arc<AtomicUsize>);

impl TestAuthorize {
    pub(crate) fn judged(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S> Layer<S> for TestAuthorize {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            inner,
            judged: self.0.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Authorize<S> {
    inner: S,
    judged: Arc<AtomicUsize>,
}

impl<S: Rpc> Service<Request<Body>> for Authorize<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, std::future::Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.judged.fetch_add(1, Ordering::SeqCst);
        let open = request.uri().path().starts_with("/grpc.health.v1.Health/");
        if open || request.extensions().get::<Identity>().is_some() {
            return Either::Left(self.inner.call(request));
        }
        let status = mesh_api::status::refusal(
            tonic::Code::Unauthenticated,
            mesh_api::common::v1::ErrorReason::CertificateMissing,
            "no certificate",
        );
        Either::Right(std::future::ready(Ok(mesh_rpc::refuse(status))))
    }
}
