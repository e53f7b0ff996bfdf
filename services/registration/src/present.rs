//! How do many questions about the present share one read?
//!
//! Every change of a flag asks who is responsible now, and a read costs about the same for one Device
//! as for many. So one task takes all questions that wait and answers them from one state, read after
//! the last of them came. A question that comes alone is read at once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use mesh_authz::MAX_BATCH;
use mesh_store::StoreError;
use mesh_types::{Clock, Position, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{Answered, Inventory, Question};

/// Who is responsible for a Device, the position that shows it, and the instant that it is about.
pub(crate) type Told = (Answered, Position, Timestamp);

struct Waiting {
    question: Question,
    reply: oneshot::Sender<Result<Told, StoreError>>,
}

/// Asks about the present. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Present(mpsc::Sender<Waiting>);

impl Present {
    /// With the task that reads `inventory` until `stop` is cancelled.
    pub(crate) fn new(
        inventory: Inventory,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (questions, waiting) = mpsc::channel(MAX_BATCH);
        let answering = async move {
            stop.run_until_cancelled(answer_all(inventory, clock, waiting))
                .await;
        };
        (Self(questions), answering)
    }

    /// The answer to `question` now, read after it was asked.
    pub(crate) async fn ask(&self, question: Question) -> Result<Told, StoreError> {
        let (reply, told) = oneshot::channel();
        let asked = self.0.send(Waiting { question, reply }).await;
        asked.map_err(|_| StoreError::Stopped)?;
        told.await.map_err(|_| StoreError::Stopped)?
    }
}

async fn answer_all(
    inventory: Inventory,
    clock: Arc<dyn Clock>,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    let mut questions = Vec::new();
    while waiting.recv_many(&mut questions, MAX_BATCH).await > 0 {
        match read(&inventory, clock.as_ref(), &questions).await {
            // One Device may be the cause: the others have their answers without it.
            Err(error) if questions.len() > 1 && !error.is_transient() => {
                for question in questions.drain(..) {
                    let alone = std::slice::from_ref(&question);
                    let told = read(&inventory, clock.as_ref(), alone).await;
                    answer([question], told);
                }
            }
            told => answer(questions.drain(..), told),
        }
    }
}

/// What to tell each of `questions`, in their order.
async fn read(
    inventory: &Inventory,
    clock: &dyn Clock,
    questions: &[Waiting],
) -> Result<Vec<Told>, StoreError> {
    let asked = questions.iter().map(|waiting| waiting.question.clone());
    let asked: Vec<Question> = asked.collect();
    let now = clock.now();
    let read = AssertUnwindSafe(inventory.authorities(&asked, None, now)).catch_unwind();
    let (answers, position) = read.await.unwrap_or(Err(StoreError::Panicked))?;
    let told = answers.into_iter();
    Ok(told.map(|answer| (answer, position.clone(), now)).collect())
}

fn answer(questions: impl IntoIterator<Item = Waiting>, told: Result<Vec<Told>, StoreError>) {
    let mut told = told.map(Vec::into_iter);
    for Waiting { reply, .. } in questions {
        let told = match &mut told {
            Ok(told) => told.next().ok_or_else(miscounted),
            Err(error) => Err(error.clone()),
        };
        // A caller who went away needs no answer.
        let _ = reply.send(told);
    }
}

fn miscounted() -> StoreError {
    StoreError::inconsistent("device", "questions and answers differ in number")
}
