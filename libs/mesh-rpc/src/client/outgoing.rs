//! Can a request be sent a second time?

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Request, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use tonic::Status;
use tonic::body::Body;

use crate::methods::Methods;

/// A request on its way to a process that takes it.
pub(super) enum Outgoing {
    /// One message, which can be sent as often as need be.
    Whole(Parts, Bytes),
    /// What its caller still makes.
    Stream(Option<Request<Body>>),
}

impl Outgoing {
    /// Takes what is there of a request with one message. It waits for nothing: whoever is slow to say the
    /// rest says it to the server.
    pub(super) fn of(request: Request<Body>) -> Result<Self, Status> {
        let method = Methods::of_mesh().get(request.uri().path());
        if method.is_none_or(|method| method.client_streaming) {
            return Ok(Self::Stream(Some(request)));
        }
        let (parts, mut body) = request.into_parts();
        let mut message = Vec::new();
        loop {
            let frame = match body.frame().now_or_never() {
                Some(None) => return Ok(Self::Whole(parts, joined(message))),
                Some(Some(frame)) => frame?,
                None => return Ok(Self::unfinished(parts, message, body)),
            };
            // A request has no trailers.
            message.extend(frame.into_data());
        }
    }

    /// What was read comes before the rest.
    fn unfinished(parts: Parts, read: Vec<Bytes>, rest: Body) -> Self {
        let read = read.into_iter().map(|data| Ok(Frame::data(data)));
        let whole = stream::iter(read).chain(BodyStream::new(rest));
        let body = Body::new(StreamBody::new(whole));
        Self::Stream(Some(Request::from_parts(parts, body)))
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

/// As a rule there is one part.
fn joined(parts: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => {
            let octets: Vec<u8> = parts.concat();
            octets.into()
        }
    }
}
