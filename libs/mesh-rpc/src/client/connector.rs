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
use crate::certificate::identity_of;
use crate::tls::Tls;

/// Connects to the address in `options`; the URI that the transport asks for only names the service.
pub(super) fn connector(
    options: &ClientOptions,
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
    tower::service_fn(move |_: Uri| {
        let (address, tls) = (address.clone(), tls.clone());
        async move { open(service, &address, &tls).await.map(TokioIo::new) }
    })
}

async fn open(
    service: &'static str,
    address: &str,
    tls: &Tls,
) -> io::Result<Guarded<TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(service)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let connector = TlsConnector::from(tls.client_config());
    let stream = connector.connect(name, tcp).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let leaf = chain.and_then(<[_]>::first);
    if leaf.is_some_and(|leaf| is_service(leaf, service)) {
        let denied = tls.denied(chain);
        Ok(Guarded::new(stream, denied))
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the server's certificate is not that of the service {service}"),
        ))
    }
}

/// The name alone would do for a certificate that an organisation asked for; the role is the mesh's
/// to give.
fn is_service(leaf: &[u8], service: &str) -> bool {
    matches!(identity_of(leaf), Ok(Identity::Internal(role)) if role.as_str() == service)
}
