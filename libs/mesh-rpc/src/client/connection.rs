//! One connection to one process of a service: is it really that service, and what does it still take?

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_authz::Identity;
use rustix::net::sockopt;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tower::BoxError;

use super::ClientOptions;
use super::broken::{is_untouched, status_of};
use super::entrance::Entrance;
use super::guarded::Guarded;
use super::load::{Load, loaded};
use super::refused::Verdict;
use crate::certificate::identity_of;
use crate::retire::{GRACE, lead};
use crate::tls::{Agreed, Rejected, Shown, Tls};

/// The server's process is asked for a sign of life so often, also while there are no calls: the kernel of its host
/// answers for one that hangs. Shorter intervals are not welcome.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A server that gives none within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A host that acknowledges nothing of what it was sent for so long is cut off (gRFC A18). The kernel counts from
/// when it sends something again, which is 0.4 s after it was sent, and a second or two where round trips have just been
/// slow. Half the usual deadline leaves room for that, so that callers hear UNAVAILABLE and may try elsewhere.
const UNACKNOWLEDGED: Duration = Duration::from_millis(2_500);
/// A host from which nothing comes is probed after so long, and so often. One that is cut off after it has taken a
/// request has nothing to acknowledge: it is given up when no probe is answered within [`UNACKNOWLEDGED`]. It is the
/// host's kernel that answers, so that a process may think for as long as it likes.
const PROBED: Duration = Duration::from_secs(1);
const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("mp169/", env!("CARGO_PKG_VERSION")));

/// A connection. It ends when the last handle and the last of its calls are gone.
#[derive(Debug)]
pub(super) struct Connection {
    service: &'static str,
    /// The generation of [`Tls`] by which it was agreed.
    generation: u64,
    /// From when on it takes no new calls, because a certificate on it ends soon.
    retires: Option<Instant>,
    sender: http2::SendRequest<Body>,
    entrance: Entrance,
    verdict: Verdict,
    load: Load,
}

/// Why a call got no answer.
pub(super) struct Failed {
    pub(super) error: BoxError,
    /// The server did nothing of it, so that another may be asked. Never where the server had not accepted us yet:
    /// who refuses our certificate would refuse it again.
    pub(super) untouched: bool,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Request<Body>>,
}

impl Connection {
    pub(super) async fn open(options: &ClientOptions, address: SocketAddr) -> io::Result<Self> {
        let (service, tls) = (options.service, &options.tls);
        let verdict = Verdict::default();
        let (stream, agreed) = handshake(service, address, tls).await?;
        let generation = agreed.generation();
        let chain = stream.get_ref().1.peer_certificates();
        let shown = Shown::by_service(chain, name_of(service)?, agreed);
        let remaining = shown.until().map(|end| tls.remaining(end));
        let retires = remaining
            .and_then(|left| Instant::now().checked_add(left - lead(left, rand::random())));
        let stream = Guarded::new(stream, verdict.clone(), held(tls, shown));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let entrance = Entrance::default();
        let (mut connection, door) = (Box::pin(connection), entrance.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.as_mut().await {
                tracing::debug!(%error, service, %address, "a connection to a service broke");
            }
            door.close(connection);
        });
        Ok(Self {
            service,
            generation,
            retires,
            sender,
            entrance,
            verdict,
            load: Load::new(),
        })
    }

    /// Whether it takes calls: it is open, its server does not drain, it was agreed by what we show
    /// and trust now, and none of its certificates is about to end.
    pub(super) fn takes_calls(&self, tls: &Tls) -> bool {
        let stays = self.retires.is_none_or(|at| Instant::now() < at);
        // One that was closed at once is for the first call to learn from: whoever opened another would open one
        // after the other where our certificate is refused.
        let is_news = !self.load.has_begun() && !self.load.is_accepted(Instant::now());
        let lives = !self.sender.is_closed() || is_news;
        stays && lives && self.generation == tls.generation()
    }

    pub(super) const fn load(&self) -> &Load {
        &self.load
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Failed> {
        let accepted = self.load.is_accepted(Instant::now());
        let mut running = self.load.begin();
        let mut sender = self.sender.clone();
        let request = self.addressed(request);
        let sent = self.entrance.enter(|| sender.try_send_request(request));
        match sent.await {
            Ok(response) => {
                running.answered();
                Ok(response.map(|body| loaded(body, running)))
            }
            Err(mut failed) => {
                let unsent = failed.take_message();
                let error = failed.into_error();
                Err(Failed {
                    untouched: accepted && (unsent.is_some() || is_untouched(&error)),
                    unsent,
                    error: self.verdict.explain(status_of(error).into()),
                })
            }
        }
    }

    /// What a stub makes has a path only.
    fn addressed(&self, mut request: Request<Body>) -> Request<Body> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(Authority::from_static(self.service));
        *request.uri_mut() = Uri::from_parts(uri).expect("a path, and the name of a service");
        let headers = request.headers_mut();
        headers.remove(HOST);
        headers.entry(USER_AGENT).or_insert(OUR_NAME);
        request
    }
}

/// Resolves when the connection has to end: by what we accept, by the clock, or by the timer that is
/// taken now.
fn held(tls: &Tls, shown: Shown) -> impl Future<Output = Rejected> + Send + 'static + use<> {
    let remaining = shown.until().map(|end| tls.remaining(end));
    let rejected = tls.rejected(shown);
    let rejected = async move {
        let rejected = rejected.await;
        if matches!(rejected, Rejected::Untrusted) {
            // New calls take another connection; those that run may end.
            tokio::time::sleep(GRACE).await;
        }
        rejected
    };
    async move {
        match remaining {
            Some(remaining) => tokio::time::timeout(remaining, rejected)
                .await
                .unwrap_or(Rejected::Ended),
            None => rejected.await,
        }
    }
}

async fn handshake(
    service: &'static str,
    address: SocketAddr,
    tls: &Tls,
) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
    let tcp = reach(address).await?;
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

/// Connects, so that a host which is cut off is noticed.
async fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&tcp, unacknowledged)?;
    sockopt::set_tcp_keepidle(&tcp, PROBED)?;
    sockopt::set_tcp_keepintvl(&tcp, PROBED)?;
    sockopt::set_socket_keepalive(&tcp, true)?;
    Ok(tcp)
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::DEADLINE;

    #[tokio::test]
    async fn the_kernel_gives_a_host_up_in_half_the_usual_deadline() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let tcp = reach(listener.local_addr().unwrap()).await.unwrap();
        let unacknowledged = sockopt::tcp_user_timeout(&tcp).unwrap();
        assert!(Duration::from_millis(unacknowledged.into()) <= DEADLINE / 2);
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
        let (idle, every) = (sockopt::tcp_keepidle(&tcp), sockopt::tcp_keepintvl(&tcp));
        assert!(idle.unwrap() + every.unwrap() <= DEADLINE / 2);
    }
}
