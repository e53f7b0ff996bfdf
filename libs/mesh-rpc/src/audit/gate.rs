//! May the next request of a stream be taken?
//!
//! A stream that goes on for hours makes a record of each request. So each has to be admitted as a call
//! is: it waits while too much waits to be written, and ends the stream while nothing can be.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::{Admission, Journal, unavailable};

/// The requests of a stream, each admitted before it is read.
pub(super) struct Gate {
    requests: Body,
    journal: Arc<dyn Journal>,
    /// What the next one waits for.
    admission: Option<Admission>,
}

impl Gate {
    pub(super) fn new(requests: Body, journal: Arc<dyn Journal>) -> Self {
        Self {
            requests,
            journal,
            admission: None,
        }
    }
}

impl HttpBody for Gate {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.admission.is_none() {
            this.admission = this.journal.admit();
        }
        if let Some(admission) = &mut this.admission {
            let admitted = ready!(admission.as_mut().poll(cx));
            this.admission = None;
            if admitted.is_err() {
                return Poll::Ready(Some(Err(unavailable())));
            }
        }
        Pin::new(&mut this.requests).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.requests.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.requests.size_hint()
    }
}
