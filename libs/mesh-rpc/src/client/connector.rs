//! How is a connection to a service made, and is it really that service?

use std::io;

use http::Uri;
use hyper_util::rt::TokioIo;
use mesh_authz::Identity;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::ClientOptions;
use super::guarded::Guarded;
use super::refused::Verdict;
use crate::certificate::identity_of;
use crate::tls::{Agreed, Rejected, Shown, Tls};

/// Connects to the address in `options`; the URI that the transport asks for only names the service.
pub(super) fn connector(
    options: &ClientOptions,
    verdict: &Verdict,
) -> impl Service<
    Uri,
    Response = TokioIo<Guarded<TlsStream<TcpStream>>>,
    Error = io::Error,
    Future: Send + 'static,
> + Send
+ 'static {
    let (service, address, tls) = (
        options.service,
        options.address.clone(),
        options.tls.clone(),
    );
    let verdict = verdict.clone();
    tower::service_fn(move |_: Uri| {
        let (address, tls, verdict) = (address.clone(), tls.clone(), verdict.clone());
        async move {
            verdict.clear();
            let (stream, agreed) = open(service, &address, &tls).await?;
            let chain = stream.get_ref().1.peer_certificates();
            let shown = Shown::by_service(chain, name_of(service)?, agreed);
            Ok(TokioIo::new(Guarded::new(
                stream,
                verdict,
                held(&tls, shown),
            )))
        }
    })
}

/// Resolves when the connection has to end: by what we accept, by the clock, or by the timer that is
/// taken now.
fn held(tls: &Tls, shown: Shown) -> impl Future<Output = Rejected> + Send + 'static + use<> {
    let remaining = shown.until().map(|end| tls.remaining(end));
    let rejected = tls.rejected(shown);
    async move {
        match remaining {
            Some(remaining) => tokio::time::timeout(remaining, rejected)
                .await
                .unwrap_or(Rejected::Ended),
            None => rejected.await,
        }
    }
}

async fn open(
    service: &'static str,
    address: &str,
    tls: &Tls,
) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let (config, agreed) = tls.as_client();
    let connector = TlsConnector::from(config);
    let stream = connector.connect(name_of(service)?, tcp).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let leaf = chain.and_then(<[_]>::first);
    if leaf.is_some_and(|leaf| is_service(leaf, service)) {
        Ok((stream, agreed))
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the server's certificate is not that of the service {service}"),
        ))
    }
}

fn name_of(service: &'static str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(service)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// The name alone would do for a certificate that an organisation asked for; the role is the mesh's
/// to give.
fn is_service(leaf: &[u8], service: &str) -> bool {
    matches!(identity_of(leaf), Ok(Identity::Internal(role)) if role.as_str() == service)
}
