//! What goes on record of each call?
//!
//! Which calls have a record of their own, and which are counted, stands in the contracts; who keeps
//! the record is a [`Journal`]. The layer stands outside of all that judges a caller, so that what is
//! refused is on record too, and inside of what says who the caller is.
//!
//! What anybody can cause is counted and never recorded one by one: calls without a certificate that
//! is known, and calls beyond a caller's rate.

mod counted;
mod each;
mod gate;
mod journal;
#[cfg(any(test, feature = "testing"))]
mod unrecorded;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request};
use mesh_api::common::v1::ErrorReason;
use mesh_authz::Identity;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::methods::{Method, Methods};
use crate::rpc::{Rpc, RpcFuture};

use counted::counted;
use each::each;

pub use journal::{
    Admission, Answer, Counted, Entry, Journal, NotOnRecord, OnDisk, Part, Recording, Ticket,
};

#[cfg(any(test, feature = "testing"))]
pub use unrecorded::Unrecorded;

/// Puts calls on record.
#[derive(Debug, Clone)]
pub(crate) struct AuditLayer(Arc<dyn Journal>);

/// The service of [`AuditLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Audit<S> {
    inner: S,
    journal: Arc<dyn Journal>,
}

/// What is known of a call when it comes in.
#[derive(Debug, Clone, Copy)]
struct Incoming {
    /// `None` if the mesh has no such method.
    method: Option<&'static Method>,
    identity: Option<Identity>,
}

impl AuditLayer {
    pub(crate) const fn new(journal: Arc<dyn Journal>) -> Self {
        Self(journal)
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Audit<S> {
        Audit {
            inner,
            journal: Arc::clone(&self.0),
        }
    }
}

impl<S: Rpc> Service<Request<Body>> for Audit<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> RpcFuture {
        let path = request.uri().path();
        let method = Methods::of_mesh().get(path);
        let identity = request.extensions().get::<Identity>().copied();
        let call = Incoming { method, identity };
        let recording = method.map(|_| self.journal.recording(path));
        let journal = Arc::clone(&self.journal);
        let before_answer = recording.and_then(|recording| recording.of_its_own(identity));
        match (before_answer, identity) {
            (Some(before_answer), Some(identity)) => {
                // The service that was made ready takes the call; the fresh clone waits for the next.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                let call = each::Known {
                    rpc: call.rpc(),
                    identity,
                    before_answer,
                    streams: method.is_some_and(|method| method.server_streaming),
                    takes_stream: method.is_some_and(|method| method.client_streaming),
                };
                Box::pin(each(journal, inner, request, call))
            }
            _ => Box::pin(counted(journal, self.inner.call(request), call)),
        }
    }
}

impl Incoming {
    /// The RPC's name; empty if there is no such method.
    fn rpc(self) -> &'static str {
        self.method.map_or("", |method| &method.name)
    }
}

/// What the headers or trailers of an answer say; `None` while it goes on.
pub(crate) fn answer_in(headers: &HeaderMap) -> Option<Answer> {
    let code = crate::status::code_in(headers)?;
    let reason = match code {
        Code::Ok => None,
        _ => {
            Status::from_header_map(headers).and_then(|status| mesh_api::status::reason_of(&status))
        }
    };
    Some(Answer { code, reason })
}

/// How many messages of a stream end in what goes out: gRPC frames need not be those of HTTP.
#[derive(Debug, Default)]
struct Messages {
    /// Of the prefix that is under way: whether compressed, then four octets of length.
    prefix: Vec<u8>,
    /// Octets of the message under way that are still to come.
    left: usize,
}

impl Messages {
    /// Octets of a message before itself.
    const PREFIX: usize = 5;

    /// Takes the next octets, and says how many messages have begun in them.
    fn take(&mut self, mut data: &[u8]) -> u64 {
        let mut begun = 0;
        while !data.is_empty() {
            if self.left > 0 {
                let part = self.left.min(data.len());
                self.left -= part;
                data = &data[part..];
                continue;
            }
            let part = (Self::PREFIX - self.prefix.len()).min(data.len());
            self.prefix.extend_from_slice(&data[..part]);
            data = &data[part..];
            if let [_, a, b, c, d] = self.prefix[..] {
                self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.prefix.clear();
                begun += 1;
            }
        }
        begun
    }
}

/// The octets of a frame that carries data.
fn data_of(frame: &http_body::Frame<Bytes>) -> &[u8] {
    frame.data_ref().map_or(&[], |data| data)
}

/// Whether anybody can cause this as often as they like.
const fn is_anybodys(answer: &Answer) -> bool {
    matches!(answer.code, Code::Unauthenticated)
        || matches!(answer.reason, Some(ErrorReason::CallerLimit))
}

/// The refusal of a call that cannot be put on record.
fn unavailable() -> Status {
    mesh_api::status::refusal(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "the call cannot be put on record",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |length: u8| {
            let mut octets = vec![0, 0, 0, 0, length];
            octets.extend(std::iter::repeat_n(7, length.into()));
            octets
        };
        let stream = [message(0), message(3), message(200), message(0)].concat();
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            let counted: u64 = stream.chunks(size).map(|part| messages.take(part)).sum();
            assert_eq!(counted, 4, "in parts of {size}");
        }
    }

    #[test]
    fn an_answer_is_read_with_its_reason() {
        let refusal = unavailable().into_http::<()>();
        let expected = Answer {
            code: Code::Unavailable,
            reason: Some(ErrorReason::AuditUnavailable),
        };
        assert_eq!(answer_in(refusal.headers()), Some(expected));
        assert_eq!(answer_in(&HeaderMap::new()), None);
    }
}
