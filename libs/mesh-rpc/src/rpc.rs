//! What do all server layers have in common?
//!
//! They take and give whole HTTP messages of tonic and never fail: a refusal is a response. So
//! unary calls and streams go through the same chain.

use std::convert::Infallible;
use std::pin::Pin;

use http::{Request, Response};
use tonic::body::Body;
use tower::{BoxError, Service};

/// A service between two server layers.
pub trait Rpc:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Rpc for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// The future of a server layer.
pub(crate) type RpcFuture =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send + 'static>>;

/// The future of a client layer.
pub(crate) type CallFuture =
    Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send + 'static>>;

/// A future that has its answer.
pub(crate) fn answer(response: Response<Body>) -> RpcFuture {
    Box::pin(std::future::ready(Ok(response)))
}
