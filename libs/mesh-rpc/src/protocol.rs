//! Is this a request of gRPC at all, with metadata of a size that is taken?
//!
//! Answered from the headers alone, and before a call has a place: what is no call of ours takes
//! none that one could have, and nobody is asked who sent it. The answer says what is wrong in HTTP
//! and in gRPC, as that of grpc-go does: whoever speaks HTTP alone must not take a refusal for a
//! success, and a gRPC client reads its status all the same.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use mesh_api::common::v1::ErrorReason;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::rpc::Rpc;
use crate::status::refuse;

/// The media type of gRPC, without what may follow it.
const GRPC: &str = "application/grpc";
/// The one encoding of messages. It is also meant where none is named.
const PROTO: &str = "proto";
/// Largest metadata of a request. The gRPC specification suggests 8 KiB; this is what the C core
/// takes at most and what HTTP/2 libraries usually take.
pub(crate) const METADATA_OCTETS: usize = 16 * 1024;
/// Largest header list that HTTP/2 hands over at all, in which there is room to refuse what lies
/// between. Above it a call is refused with a bare 431, and above four times as much the connection
/// ends.
pub(crate) const HEADER_OCTETS: u32 = 64 * 1024;
/// What each field counts for besides its name and value (RFC 9113, section 6.5.2).
const FIELD_OCTETS: usize = 32;

/// Refuses what is no request of gRPC.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProtocolLayer;

/// The service of [`ProtocolLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Protocol<S> {
    inner: S,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Method,
    MediaType,
    Encoding,
    Metadata,
}

// === impl ProtocolLayer ===

impl<S> Layer<S> for ProtocolLayer {
    type Service = Protocol<S>;

    fn layer(&self, inner: S) -> Protocol<S> {
        Protocol { inner }
    }
}

// === impl Protocol ===

impl<S: Rpc> Service<Request<Body>> for Protocol<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match judge(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(refusal.response()))),
        }
    }
}

fn judge<T>(request: &Request<T>) -> Result<(), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    judge_type(request.headers())?;
    if octets(request) > METADATA_OCTETS {
        return Err(Refusal::Metadata);
    }
    Ok(())
}

/// Media types are the same in any case (RFC 9110, section 8.3.1), and are given once.
/// `application/grpc-web` is another protocol.
fn judge_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(named), None) = (types.next(), types.next()) else {
        return Err(Refusal::MediaType);
    };
    let named = named.to_str().map_err(|_| Refusal::MediaType)?;
    let named = named.split_once(';').map_or(named, |(named, _)| named);
    let (base, encoding) = named
        .trim()
        .split_once('+')
        .unwrap_or((named.trim(), PROTO));
    if !base.eq_ignore_ascii_case(GRPC) {
        Err(Refusal::MediaType)
    } else if !encoding.eq_ignore_ascii_case(PROTO) {
        Err(Refusal::Encoding)
    } else {
        Ok(())
    }
}

/// The size of the header list as HTTP/2 counts it, which is how gRPC counts metadata.
fn octets<T>(request: &Request<T>) -> usize {
    let field = |name: &str, value: &[u8]| name.len() + value.len() + FIELD_OCTETS;
    let uri = request.uri();
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let pseudo = [
        (":method", request.method().as_str()),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (
            ":authority",
            uri.authority().map_or("", |named| named.as_str()),
        ),
        (":path", path),
    ];
    let pseudo = pseudo.map(|(name, value)| field(name, value.as_bytes()));
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| field(name.as_str(), value.as_bytes()));
    pseudo.into_iter().chain(headers).sum()
}

// === impl Refusal ===

impl Refusal {
    fn response(self) -> Response<Body> {
        let mut response = refuse(self.status());
        *response.status_mut() = self.http_status();
        match self {
            Self::Method => {
                let post = HeaderValue::from_static("POST");
                response.headers_mut().insert(ALLOW, post);
            }
            Self::MediaType => {
                let grpc = HeaderValue::from_static(GRPC);
                response.headers_mut().insert(ACCEPT, grpc);
            }
            Self::Encoding | Self::Metadata => {}
        }
        response
    }

    const fn http_status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // They speak gRPC, where every answer is a success of HTTP.
            Self::Encoding | Self::Metadata => StatusCode::OK,
        }
    }

    fn status(self) -> Status {
        let (code, reason, message) = match self {
            Self::Method => (
                Code::InvalidArgument,
                ErrorReason::NotGrpc,
                "a call is a POST".to_owned(),
            ),
            Self::MediaType => (
                Code::InvalidArgument,
                ErrorReason::NotGrpc,
                format!("the content type is not {GRPC}"),
            ),
            Self::Encoding => (
                Code::Unimplemented,
                ErrorReason::NotSupported,
                format!("messages are encoded as {GRPC}+{PROTO} alone"),
            ),
            Self::Metadata => (
                Code::ResourceExhausted,
                ErrorReason::MetadataTooLarge,
                format!("the metadata is larger than {METADATA_OCTETS} octets"),
            ),
        };
        mesh_api::status::refusal(code, reason, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_counted_to_the_octet() {
        let bare = Request::post("https://x/a.B/C").header(CONTENT_TYPE, GRPC);
        let bare = bare.body(()).unwrap();
        let pseudo = [":methodPOST", ":schemehttps", ":authorityx", ":path/a.B/C"];
        let fields = pseudo.into_iter().chain(["content-typeapplication/grpc"]);
        let counted: usize = fields.map(|field| field.len() + FIELD_OCTETS).sum();
        assert_eq!(octets(&bare), counted);
        for (left, judged) in [(0, Ok(())), (1, Err(Refusal::Metadata))] {
            let mut request = bare.clone();
            let room = METADATA_OCTETS - counted - "x".len() - FIELD_OCTETS;
            let value = HeaderValue::from_bytes(&vec![b'x'; room + left]).unwrap();
            request.headers_mut().insert("x", value);
            assert_eq!(judge(&request), judged);
        }
    }
}
