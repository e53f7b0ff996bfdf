//! How are messages without end decided?

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use mesh_api::classification::v1 as wire;
use mesh_api::status;
use mesh_authz::Authorization;
use mesh_rpc::Work;
use mesh_types::Position;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use super::{Classification, position, results};
use crate::classify::Answer;
use crate::problem::Error;

/// Answers on their way: one that the transport takes, one that is being made. A reader that takes
/// none is read no further.
const AHEAD: usize = 1;

impl Classification {
    /// Answers each request in order, in a task of its own: the connection's task then only moves
    /// octets, and both cores work for one stream.
    pub(super) fn stream(
        &self,
        authorization: Authorization,
        work: Option<Work>,
        requests: Streaming<wire::ClassifyStreamRequest>,
    ) -> Answers {
        let (answers, receiver) = mpsc::channel(AHEAD);
        let service = self.clone();
        let task = async move {
            let ended = tokio::select! {
                biased;
                error = revoked(&authorization) => Err(Status::from(error)),
                ended = service.serve(&authorization, work, requests, &answers) => ended,
            };
            // Fails if the reader has gone: then nobody needs to be told.
            let _ = answers.send(Step::End(ended)).await;
        };
        tokio::spawn(task.in_current_span());
        Answers(Some(receiver))
    }

    async fn serve(
        &self,
        authorization: &Authorization,
        work: Option<Work>,
        mut requests: Streaming<wire::ClassifyStreamRequest>,
        answers: &mpsc::Sender<Step>,
    ) -> Result<(), Status> {
        let mut at_least = None;
        loop {
            let request = tokio::select! {
                biased;
                () = self.draining.started() => return Err(Error::Draining.into()),
                () = authorization.ending().begun() => return Err(Error::Draining.into()),
                () = answers.closed() => return Ok(()),
                request = requests.message() => request?,
            };
            let Some(request) = request else {
                return Ok(());
            };
            authorization.still_allowed()?;
            at_least = later(at_least, position(request.at_least.as_ref())?);
            let turn = match &work {
                Some(work) => Some(work.turn(request.messages.len()).await),
                None => None,
            };
            let answer = self.classifier.answer(request.messages, at_least.as_ref());
            let Answer { decisions, basis } = answer.await?;
            drop(turn);
            let response = wire::ClassifyStreamResponse {
                results: results(decisions),
                basis,
            };
            if answers.send(Step::Answer(response)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Resolves when the caller has lost its right, whatever the stream is waiting for.
async fn revoked(authorization: &Authorization) -> Error {
    let mut directory = authorization.directory_changes();
    loop {
        if let Err(refusal) = authorization.still_allowed() {
            return refusal.into();
        }
        if directory.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What was asked for holds for the rest of the stream, so of two positions the later one.
fn later(before: Option<Position>, asked: Option<Position>) -> Option<Position> {
    match (before, asked) {
        (Some(before), Some(asked))
            if before.comparable(&asked) && before.sequence > asked.sequence =>
        {
            Some(before)
        }
        (before, asked) => asked.or(before),
    }
}

/// What the task tells the stream.
#[derive(Debug)]
enum Step {
    Answer(wire::ClassifyStreamResponse),
    End(Result<(), Status>),
}

/// The answers of one stream.
#[derive(Debug)]
pub struct Answers(Option<mpsc::Receiver<Step>>);

impl Stream for Answers {
    type Item = Result<wire::ClassifyStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(steps) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let end = match std::task::ready!(steps.poll_recv(cx)) {
            Some(Step::Answer(answer)) => return Poll::Ready(Some(Ok(answer))),
            Some(Step::End(end)) => end,
            // The task is gone without a word: it panicked.
            None => Err(status::internal()),
        };
        self.0 = None;
        Poll::Ready(end.err().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, sequence: u64) -> Option<Position> {
        Some(Position {
            log: "flags".parse().unwrap(),
            epoch: mesh_types::Epoch::new(epoch).unwrap(),
            sequence,
        })
    }

    #[test]
    fn the_later_position_holds() {
        assert_eq!(later(None, None), None);
        assert_eq!(later(at(1, 5), None), at(1, 5));
        assert_eq!(later(None, at(1, 5)), at(1, 5));
        assert_eq!(later(at(1, 5), at(1, 3)), at(1, 5));
        assert_eq!(later(at(1, 5), at(1, 7)), at(1, 7));
        assert_eq!(later(at(1, 5), at(2, 3)), at(2, 3));
    }
}
