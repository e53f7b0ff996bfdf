//! How is a call counted?

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use tonic::body::Body;
use tracing::Span;

use super::{Answer, Counted, Incoming, Journal, Messages, answer_in, data_of};
use crate::observe::{Call, CallEnd, Observer};

/// Counts a call by its answer. A stream counts when it has ended, and its messages as they go.
pub(super) async fn counted(
    journal: Arc<dyn Journal>,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    call: Incoming,
) -> Result<Response<Body>, Infallible> {
    let streams = call.method.is_some_and(|method| method.server_streaming);
    let mut counting = Call::new(Counting {
        journal,
        call,
        answer: None,
        messages: Messages::default(),
    });
    let response = answer.await?;
    if let Some(answer) = answer_in(response.headers()) {
        counting.end_with(answer);
    } else if streams {
        return Ok(counting.observe(response, Span::none()));
    } else {
        counting.end_with(Answer::OK);
    }
    Ok(response)
}

struct Counting {
    journal: Arc<dyn Journal>,
    call: Incoming,
    /// What the headers or trailers said.
    answer: Option<Answer>,
    messages: Messages,
}

impl Counting {
    fn count(&self, answer: Answer, calls: u64, messages: u64) {
        let what = Counted {
            identity: self.call.identity,
            rpc: self.call.rpc(),
            answer,
        };
        self.journal.count(what, calls, messages);
    }
}

impl Call<Counting> {
    fn end_with(&mut self, answer: Answer) {
        if let Some(counting) = self.observer() {
            counting.answer = Some(answer);
        }
        self.end(CallEnd::Status(answer.code));
    }
}

impl Observer for Counting {
    fn sends(&mut self, frame: &Frame<Bytes>) {
        let sent = self.messages.take(data_of(frame));
        if sent > 0 {
            self.count(Answer::OK, 0, sent);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.answer = answer_in(trailers);
        }
    }

    fn ended(self, end: CallEnd) {
        let answer = self.answer.unwrap_or(Answer {
            code: end.code(),
            reason: None,
        });
        self.count(answer, 1, 0);
    }
}
