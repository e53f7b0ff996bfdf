//! Can a request be sent a second time?

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

use crate::methods::Methods;

/// A request on its way to a process that takes it.
pub(super) enum Outgoing {
    /// One message, which can be sent as often as need be.
    Whole(Parts, Bytes),
    /// Messages that its caller still makes.
    Stream(Option<Request<Body>>),
}

impl Outgoing {
    pub(super) async fn of(request: Request<Body>) -> Result<Self, Status> {
        let method = Methods::of_mesh().get(request.uri().path());
        if method.is_none_or(|method| method.client_streaming) {
            return Ok(Self::Stream(Some(request)));
        }
        let (parts, body) = request.into_parts();
        let message = body.collect().await?.to_bytes();
        Ok(Self::Whole(parts, message))
    }

    /// What is sent; `None` if that was sent before and cannot be again.
    pub(super) fn next(&mut self) -> Option<Request<Body>> {
        match self {
            Self::Whole(parts, message) => {
                let body = Body::new(Full::new(message.clone()));
                Some(Request::from_parts(parts.clone(), body))
            }
            Self::Stream(request) => request.take(),
        }
    }

    /// Takes back what was not sent.
    pub(super) fn put_back(&mut self, unsent: Option<Request<Body>>) {
        if let (Self::Stream(request), Some(unsent)) = (self, unsent) {
            *request = Some(unsent);
        }
    }
}
