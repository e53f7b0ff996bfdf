//! Is this message small enough to be read into memory, and whole?
//!
//! gRPC puts five octets before each message: a compression flag and the length. They are looked at
//! as they arrive, so that a message that is too large is refused before any of it is buffered, in a
//! unary call and anywhere in a stream. Compressed messages are refused too: their size is not the
//! one that they claim. How large is too large, the contract of the method says; most say nothing
//! and have the limit of the server.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::FieldErrors;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::methods::Methods;
use crate::rpc::{Rpc, RpcFuture};
use crate::status::{refuse, trailers};

/// Octets before each message.
const HEADER: usize = 5;

/// Why a request was cut off, once it was.
type Verdict = Arc<OnceLock<Status>>;

/// Refuses requests with a message that is too large.
#[derive(Debug, Clone)]
pub(crate) struct MessageSize<S> {
    inner: S,
    limit: usize,
}

impl<S> MessageSize<S> {
    pub(super) const fn new(inner: S, limit: usize) -> Self {
        Self { inner, limit }
    }
}

impl<S: Rpc> Service<Request<Body>> for MessageSize<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let verdict = Verdict::default();
        let method = Methods::of_mesh().get(request.uri().path());
        let limit = method.and_then(|method| method.request_octets);
        let limit = limit.unwrap_or(self.limit);
        let request = request.map(|inner| {
            Body::new(Inspected {
                inner,
                frames: Frames::new(limit),
                verdict: verdict.clone(),
            })
        });
        let pending = self.inner.call(request);
        Box::pin(async move {
            let response = pending.await?;
            // Whatever the inside made of its broken request, the cause is known here.
            Ok(match verdict.get() {
                Some(status) => refuse(status.clone()),
                None => response.map(|inner| {
                    Body::new(Answer {
                        inner: Some(inner),
                        verdict,
                    })
                }),
            })
        })
    }
}

/// A request body whose messages are measured.
struct Inspected {
    inner: Body,
    frames: Frames,
    verdict: Verdict,
}

impl HttpBody for Inspected {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(status) = self.verdict.get() {
            return Poll::Ready(Some(Err(status.clone())));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let inspected = match &polled {
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                Some(data) => self.frames.inspect(data),
                None => Ok(()),
            },
            Poll::Ready(None) => self.frames.end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => Ok(()),
        };
        if let Err(refusal) = inspected {
            let status = refusal.status(self.frames.limit);
            // Set once: after the first refusal nothing is inspected any more.
            let _ = self.verdict.set(status.clone());
            return Poll::Ready(Some(Err(status)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.frames.end().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response body that ends with the verdict on its request; `inner` is gone once it has.
struct Answer {
    inner: Option<Body>,
    verdict: Verdict,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(inner).poll_frame(cx);
        let Some(status) = self.verdict.get() else {
            return polled;
        };
        let end = trailers(status);
        self.inner = None;
        Poll::Ready(Some(Ok(end)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// Where in the sequence of headers and messages the body is.
#[derive(Debug)]
struct Frames {
    limit: usize,
    header: [u8; HEADER],
    header_octets: usize,
    message_octets: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Compressed,
    TooLarge,
    CutShort,
}

impl Frames {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            header: [0; HEADER],
            header_octets: 0,
            message_octets: 0,
        }
    }

    /// Goes on through the next octets of the body.
    fn inspect(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while !data.is_empty() {
            let inside = data.len().min(self.message_octets);
            self.message_octets -= inside;
            data = &data[inside..];
            let wanted = data.len().min(HEADER - self.header_octets);
            let (header, rest) = data.split_at(wanted);
            self.header[self.header_octets..][..wanted].copy_from_slice(header);
            self.header_octets += wanted;
            data = rest;
            if self.header_octets == HEADER {
                self.header_octets = 0;
                self.message_octets = self.announced()?;
            }
        }
        Ok(())
    }

    /// Whether the body may end here.
    const fn end(&self) -> Result<(), Refusal> {
        if self.header_octets == 0 && self.message_octets == 0 {
            Ok(())
        } else {
            Err(Refusal::CutShort)
        }
    }

    /// The length in a whole header.
    fn announced(&self) -> Result<usize, Refusal> {
        let [flag, length @ ..] = self.header;
        if flag != 0 {
            return Err(Refusal::Compressed);
        }
        usize::try_from(u32::from_be_bytes(length))
            .ok()
            .filter(|&octets| octets <= self.limit)
            .ok_or(Refusal::TooLarge)
    }
}

impl Refusal {
    fn status(&self, limit: usize) -> Status {
        match self {
            Self::Compressed => mesh_api::status::refusal(
                Code::Unimplemented,
                ErrorReason::NotSupported,
                "compressed messages are not accepted",
            ),
            Self::TooLarge => mesh_api::status::refusal(
                Code::ResourceExhausted,
                ErrorReason::MessageTooLarge,
                format!("a message is larger than {limit} octets"),
            ),
            Self::CutShort => {
                let mut errors = FieldErrors::default();
                errors.add("request", "ends within a message");
                mesh_api::status::invalid_fields(&errors)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flag: u8, length: u32) -> Vec<u8> {
        let octets = usize::try_from(length).unwrap();
        [&[flag], &length.to_be_bytes()[..], &vec![7; octets]].concat()
    }

    #[test]
    fn messages_are_found_however_the_body_is_cut() {
        let body = [message(0, 0), message(0, 10), message(0, 3), message(0, 0)].concat();
        for size in 1..=body.len() {
            let mut frames = Frames::new(10);
            for piece in body.chunks(size) {
                assert_eq!(frames.inspect(piece), Ok(()), "pieces of {size}");
            }
            assert_eq!(frames.end(), Ok(()));
        }
    }

    #[test]
    fn a_body_ends_between_two_messages_or_is_cut_short() {
        let body = [message(0, 3), message(0, 0)].concat();
        for length in 0..=body.len() {
            let mut frames = Frames::new(10);
            frames.inspect(&body[..length]).unwrap();
            let whole = [0, 8, 13].contains(&length);
            assert_eq!(frames.end().is_ok(), whole, "{length} octets");
        }
    }

    #[test]
    fn the_header_alone_is_enough_to_refuse() {
        for size in 1..=HEADER {
            for (header, refusal) in [
                ([0, 0, 0, 0, 11], Refusal::TooLarge),
                ([0, 0xFF, 0xFF, 0xFF, 0xFF], Refusal::TooLarge),
                ([1, 0, 0, 0, 1], Refusal::Compressed),
                ([2, 0, 0, 0, 1], Refusal::Compressed),
            ] {
                let mut frames = Frames::new(10);
                frames.inspect(&message(0, 10)).unwrap();
                let last = header
                    .chunks(size)
                    .map(|piece| frames.inspect(piece))
                    .last();
                assert_eq!(last, Some(Err(refusal)), "pieces of {size}");
            }
        }
    }
}
