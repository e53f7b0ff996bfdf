//! How does a call get a record of its own?

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use mesh_authz::{Caller, Identity, Noted, Notes};
use mesh_types::{EntityId, Timestamp};
use tonic::body::Body;
use tracing::Span;

use super::gate::Gate;
use super::{
    Answer, Counted, Entry, Journal, Messages, OnDisk, Part, Ticket, answer_in, data_of,
    is_anybodys, unavailable,
};
use crate::observe::{Call, CallEnd, Observer};
use crate::rpc::Rpc;
use crate::status::refuse;

/// A call of somebody who showed a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) rpc: &'static str,
    pub(super) identity: Identity,
    pub(super) before_answer: OnDisk,
    pub(super) streams: bool,
    /// Whether the caller sends any number of messages.
    pub(super) takes_stream: bool,
}

/// Makes the call, and puts it on record when it is answered. A call whose caller goes away before is
/// on record too.
pub(super) async fn each<S: Rpc>(
    journal: Arc<dyn Journal>,
    mut inner: S,
    mut request: Request<Body>,
    call: Known,
) -> Result<Response<Body>, Infallible> {
    if let Some(admission) = journal.admit()
        && admission.await.is_err()
    {
        return Ok(refused(&*journal, call));
    }
    if call.takes_stream {
        request = request.map(|requests| Body::new(Gate::new(requests, Arc::clone(&journal))));
    }
    let notes = Notes::default();
    request.extensions_mut().insert(notes.clone());
    let mut record = Call::new(Record {
        time: journal.now(),
        trace: crate::traceparent::current_trace(),
        journal: Arc::clone(&journal),
        call,
        notes,
        answer: None,
        stream: None,
    });
    let response = inner.call(request).await?;
    let entered = record.enter(answer_in(response.headers()));
    let kept = match entered {
        Some(ticket) => journal.on_disk(ticket).await,
        None => Ok(()),
    };
    if kept.is_err() {
        // What the handler has to say stays here.
        return Ok(refused(&*journal, call));
    }
    Ok(record.observe(response, Span::none()))
}

/// The answer to a call that cannot be put on record, which is counted instead.
fn refused(journal: &dyn Journal, call: Known) -> Response<Body> {
    let response = refuse(unavailable());
    if let Some(answer) = answer_in(response.headers()) {
        count(journal, call, answer);
    }
    response
}

fn count(journal: &dyn Journal, call: Known, answer: Answer) {
    let what = Counted {
        identity: Some(call.identity),
        rpc: call.rpc,
        answer,
    };
    journal.count(what, 1, 0);
}

/// The record of a call under way.
struct Record {
    journal: Arc<dyn Journal>,
    call: Known,
    time: Timestamp,
    trace: Option<[u8; 16]>,
    notes: Notes,
    /// What was answered, once it is known.
    answer: Option<Answer>,
    /// What was sent on a stream that has started.
    stream: Option<Stream>,
}

/// A stream that has started.
#[derive(Default)]
struct Stream {
    /// As it was noted at the start.
    caller: Option<Arc<Caller>>,
    claims_to_act_for: Option<EntityId>,
    messages: Messages,
    sent: u64,
    octets: u64,
}

impl Call<Record> {
    /// Puts on record how the call was answered, or that a stream has started. Returns what the answer
    /// has to wait for.
    fn enter(&mut self, answer: Option<Answer>) -> Option<Ticket> {
        if let Some(record) = self.observer()
            && answer.is_none()
            && record.call.streams
        {
            return record.started();
        }
        self.take()?.whole(answer.unwrap_or(Answer::OK))
    }
}

impl Record {
    /// The answer is a stream, which goes on.
    fn started(&mut self) -> Option<Ticket> {
        let noted = self.notes.take();
        self.stream = Some(Stream {
            caller: noted.caller.clone(),
            claims_to_act_for: noted.claims_to_act_for,
            ..Stream::default()
        });
        self.entry(noted, Part::StreamStarted, Answer::OK)
    }

    /// Requests on the stream were answered of which something was noted.
    fn requests(&mut self) {
        let Some(stream) = &self.stream else {
            return;
        };
        let answered = self.notes.take_answered().into_iter();
        let answered: Vec<_> = answered.map(|noted| stream.of_caller(noted)).collect();
        for noted in answered {
            self.time = self.journal.now();
            self.entry(noted, Part::StreamRequest, Answer::OK);
        }
    }

    /// The call has been answered.
    fn whole(&mut self, answer: Answer) -> Option<Ticket> {
        if is_anybodys(&answer) {
            count(&*self.journal, self.call, answer);
            return None;
        }
        let noted = self.notes.take();
        self.entry(noted, Part::Whole, answer)
    }

    fn entry(&mut self, noted: Noted, part: Part, answer: Answer) -> Option<Ticket> {
        let waits = match self.call.before_answer {
            OnDisk::Never => false,
            OnDisk::ThePast => noted.asks_for_past,
            OnDisk::Always => true,
        };
        let ticket = self.journal.enter(Entry {
            time: self.time,
            rpc: self.call.rpc,
            identity: self.call.identity,
            noted,
            part,
            answer,
            trace: self.trace,
        });
        waits.then_some(ticket)
    }
}

impl Stream {
    /// The notes, of the caller who started it.
    fn of_caller(&self, noted: Noted) -> Noted {
        Noted {
            caller: self.caller.clone(),
            claims_to_act_for: self.claims_to_act_for,
            ..noted
        }
    }
}

impl Observer for Record {
    fn sends(&mut self, frame: &Frame<Bytes>) {
        if let Some(stream) = &mut self.stream {
            let data = data_of(frame);
            stream.sent += stream.messages.take(data);
            stream.octets += u64::try_from(data.len()).unwrap_or(u64::MAX);
        }
        self.requests();
        if let Some(trailers) = frame.trailers_ref() {
            self.answer = answer_in(trailers);
        }
    }

    fn ended(mut self, end: CallEnd) {
        self.requests();
        let answer = self.answer.take().unwrap_or(Answer {
            code: end.code(),
            reason: None,
        });
        match self.stream.take() {
            Some(stream) => {
                self.time = self.journal.now();
                let part = Part::StreamEnded {
                    messages: stream.sent,
                    octets: stream.octets,
                };
                let noted = stream.of_caller(self.notes.take());
                self.entry(noted, part, answer);
            }
            None => {
                self.whole(answer);
            }
        }
    }
}
