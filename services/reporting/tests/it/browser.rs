//! How does a test ask for a page? As a browser does: by HTTP/1.1 or HTTP/2, with a certificate or without.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_pki::Issued;
use mesh_testkit::certificates;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// What a browser speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Http {
    One,
    Two,
}

/// An open connection.
pub(crate) struct Browser {
    sender: Sender,
    /// Ends when the connection does.
    pub(crate) ended: JoinHandle<()>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What came.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    /// Comes with a certificate, or with none.
    pub(crate) async fn open(
        address: SocketAddr,
        certificate: Option<&Issued>,
        speaks: Http,
    ) -> Result<Self, std::io::Error> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        let connector = TlsConnector::from(Arc::new(config(certificate, speaks)));
        let stream = connector.connect(name, tcp).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        assert_eq!(agreed, Some(protocol(speaks)));
        Ok(Self::on(stream, speaks).await)
    }

    /// Comes without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap(), Http::One).await
    }

    async fn on(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, speaks: Http) -> Self {
        let io = TokioIo::new(io);
        // How a connection ends is not what is asked here.
        let (sender, ended) = match speaks {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                let ended = tokio::spawn(async move { drop(connection.await) });
                (Sender::One(sender), ended)
            }
            Http::Two => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, io).await.unwrap();
                let ended = tokio::spawn(async move { drop(connection.await) });
                (Sender::Two(sender), ended)
            }
        };
        Self { sender, ended }
    }

    /// Asks for a page.
    pub(crate) async fn get(&mut self, path: &str) -> Seen {
        self.ask(Request::get(path)).await
    }

    /// Asks in another way.
    pub(crate) async fn ask(&mut self, request: http::request::Builder) -> Seen {
        self.send(request.body(Full::default()).unwrap())
            .await
            .unwrap()
    }

    /// Sends a request, which gets its host where it has none.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Seen, hyper::Error> {
        let answer = match &mut self.sender {
            Sender::One(sender) => {
                let host = "127.0.0.1".parse().unwrap();
                request.headers_mut().entry("host").or_insert(host);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Two(sender) => {
                let uri = format!("https://127.0.0.1{}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        seen(answer).await
    }
}

async fn seen(answer: Response<Incoming>) -> Result<Seen, hyper::Error> {
    let (head, body) = answer.into_parts();
    let octets = body.collect().await?.to_bytes();
    Ok(Seen {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(octets.to_vec()).unwrap(),
    })
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.get(name);
        header.map_or("", |header| header.to_str().unwrap())
    }
}

fn protocol(speaks: Http) -> &'static [u8] {
    match speaks {
        Http::One => b"http/1.1",
        Http::Two => b"h2",
    }
}

fn config(certificate: Option<&Issued>, speaks: Http) -> ClientConfig {
    let mut trust = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(certificates().trust_pem().as_bytes());
    trust.add(authority.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trust);
    let mut config = match certificate {
        Some(issued) => {
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
            let chain = vec![issued.certificate_der()];
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol(speaks).to_vec()];
    config
}
