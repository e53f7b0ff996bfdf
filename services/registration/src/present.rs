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

/// Questions that came together.
struct Waiting {
    questions: Vec<Question>,
    reply: oneshot::Sender<Vec<Result<Told, StoreError>>>,
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
        let told = self.ask_all(vec![question]).await?.pop();
        told.unwrap_or_else(|| Err(miscounted()))
    }

    /// The answer to each of `questions`, in their order. What befalls one spoils no other.
    pub(crate) async fn ask_all(
        &self,
        questions: Vec<Question>,
    ) -> Result<Vec<Result<Told, StoreError>>, StoreError> {
        let (reply, told) = oneshot::channel();
        let asked = self.0.send(Waiting { questions, reply }).await;
        asked.map_err(|_| StoreError::Stopped)?;
        told.await.map_err(|_| StoreError::Stopped)
    }
}

async fn answer_all(
    inventory: Inventory,
    clock: Arc<dyn Clock>,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    while let Some(first) = waiting.recv().await {
        let mut questions = Vec::new();
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(Waiting {
            questions: more,
            reply,
        }) = next
        {
            replies.push((more.len(), reply));
            questions.extend(more);
            let has_room = questions.len() < MAX_BATCH;
            next = has_room.then(|| waiting.try_recv().ok()).flatten();
        }
        let mut told = answers(&inventory, clock.as_ref(), &questions)
            .await
            .into_iter();
        for (count, reply) in replies {
            // A caller who went away needs no answer.
            let _ = reply.send(told.by_ref().take(count).collect());
        }
    }
}

/// What to tell each of `questions`, in their order.
async fn answers(
    inventory: &Inventory,
    clock: &dyn Clock,
    questions: &[Question],
) -> Vec<Result<Told, StoreError>> {
    match read(inventory, clock, questions).await {
        Ok(told) => told.into_iter().map(Ok).collect(),
        // One Device may be the cause: the others have their answers without it.
        Err(error) if questions.len() > 1 && !error.is_transient() => {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                let told = read(inventory, clock, std::slice::from_ref(question)).await;
                let told = told.and_then(|mut told| told.pop().ok_or_else(miscounted));
                answers.push(told);
            }
            answers
        }
        Err(error) => questions.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// All of `questions` answered from one state.
async fn read(
    inventory: &Inventory,
    clock: &dyn Clock,
    questions: &[Question],
) -> Result<Vec<Told>, StoreError> {
    let now = clock.now();
    let read = AssertUnwindSafe(inventory.authorities(questions, None, now)).catch_unwind();
    let (answers, position) = read.await.unwrap_or(Err(StoreError::Panicked))?;
    let told = answers.into_iter();
    Ok(told.map(|answer| (answer, position.clone(), now)).collect())
}

fn miscounted() -> StoreError {
    StoreError::inconsistent("device", "questions and answers differ in number")
}
