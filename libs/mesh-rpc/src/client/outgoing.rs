//! Can a request be sent a second time?

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Request, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use tonic::Status;
use tonic::body::Body;

use crate::methods::Methods;

/// A request with one message, which can be sent as often as need be.
pub(super) struct Whole(Parts, Bytes);

impl Whole {
    pub(super) fn request(&self) -> Request<Body> {
        let body = Body::new(Full::new(self.1.clone()));
        Request::from_parts(self.0.clone(), body)
    }
}

/// A request as it is sent, and what of it can be sent again. It waits for nothing: whoever is slow to say the
/// rest says it to the server.
pub(super) fn outgoing(request: Request<Body>) -> Result<(Request<Body>, Option<Whole>), Status> {
    let method = Methods::of_mesh().get(request.uri().path());
    if method.is_none_or(|method| method.client_streaming) {
        return Ok((request, None));
    }
    let (parts, mut body) = request.into_parts();
    let mut read = Vec::new();
    loop {
        let frame = match body.frame().now_or_never() {
            Some(None) => break,
            Some(Some(frame)) => frame?,
            None => return Ok((unfinished(parts, read, body), None)),
        };
        // A request has no trailers.
        read.extend(frame.into_data());
    }
    let whole = Whole(parts, joined(read));
    Ok((whole.request(), Some(whole)))
}

/// What was read comes before the rest.
fn unfinished(parts: Parts, read: Vec<Bytes>, rest: Body) -> Request<Body> {
    let read = read.into_iter().map(|data| Ok(Frame::data(data)));
    let both = stream::iter(read).chain(BodyStream::new(rest));
    Request::from_parts(parts, Body::new(StreamBody::new(both)))
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
