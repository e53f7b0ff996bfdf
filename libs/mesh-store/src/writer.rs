//! How do many requests become one transaction, and each still gets its own answer?
//!
//! One task per process. It takes what waits, opens one transaction, lets the service decide each
//! command, commits, and only then replies. A commit to disk costs the same for one command as for
//! hundreds.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use mesh_types::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::meters::Ended;
use crate::{Store, StoreError, WriteTx};

/// One answer or refusal for each command, in their order.
pub type Answers<A, E> = Vec<Result<A, E>>;

/// What a service does with the commands that wait.
pub trait Batch: Send + Sync + 'static {
    /// One request to write.
    type Command: Send + Sync + 'static;
    /// What an accepted command is answered.
    type Answer: Send + 'static;
    /// Why a command is refused: the service's own error.
    type Error: Send + 'static;

    /// Decides each command and writes what the accepted ones change. The answers stand in the
    /// order of the commands.
    ///
    /// - Lock the logs first, then read, then decide, then write. A refused command has written
    ///   nothing, so it costs the others nothing.
    /// - An `Err` of the whole undoes the whole. If one command may be the cause (a rule of the
    ///   schema, a contradiction, a panic), each is applied again in a transaction of its own, so
    ///   that only the one at fault fails.
    /// - A transaction that is too late to [commit](WriteTx::commit_before) is undone, too, and its
    ///   commands are decided anew.
    /// - It may therefore run more than once for a command, and what it did may be undone: it
    ///   takes `&self`, and everything that it remembers goes through `tx`.
    fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<Answers<Self::Answer, Self::Error>, StoreError>> + Send;

    /// How much of a transaction's room a command takes: the number of its items.
    fn weight(&self, _command: &Self::Command) -> usize {
        1
    }
}

/// How often a batch is decided that was too late to commit. A slow disk makes it late once: what was
/// decided on had too little time left, and the second time the service sees that. More only guards
/// against a service that does not look.
const ATTEMPTS: usize = 4;

/// How much may wait, and how much goes into one transaction.
#[derive(Debug, Clone, Copy)]
pub struct WriterSettings {
    /// So often what was handed in at once waits at most; the next callers wait for room.
    pub queue: usize,
    /// A transaction takes no further command once those it has weigh so much.
    pub batch_weight: usize,
    /// A caller who has not got room after so long gets [`StoreError::Busy`].
    pub patience: Duration,
    /// After so long without a command the writer looks by itself for kept answers that have
    /// expired.
    pub idle: Duration,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            queue: 4096,
            batch_weight: 1024,
            patience: Duration::from_secs(1),
            idle: Duration::from_hours(1),
        }
    }
}

type Reply<B> =
    oneshot::Sender<Result<Result<<B as Batch>::Answer, <B as Batch>::Error>, StoreError>>;

struct Waiting<B: Batch> {
    command: B::Command,
    reply: Reply<B>,
}

/// What was handed in at once: it goes into one transaction.
type Handed<B> = Vec<Waiting<B>>;

/// Hands commands to the writer task. Cloning it is cheap.
pub struct Writer<B: Batch> {
    queue: mpsc::Sender<Handed<B>>,
    stop: CancellationToken,
    patience: Duration,
}

impl<B: Batch> Clone for Writer<B> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            stop: self.stop.clone(),
            patience: self.patience,
        }
    }
}

impl<B: Batch> fmt::Debug for Writer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// The running task. Dropping it leaves the task running until every [`Writer`] is gone.
#[derive(Debug)]
pub struct WriterTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl<B: Batch> Writer<B> {
    /// Starts the writer task of this process on `store`.
    pub fn start(
        store: Store,
        batch: B,
        clock: Arc<dyn Clock>,
        settings: WriterSettings,
    ) -> (Self, WriterTask) {
        let (queue, waiting) = mpsc::channel(settings.queue.max(1));
        let asked = queue.downgrade();
        store
            .meters()
            .ask(move || asked.upgrade().map_or(0, |queue| waiting_in(&queue)));
        let stop = CancellationToken::new();
        let worker = Worker {
            store,
            batch,
            clock,
            weight: settings.batch_weight.max(1),
            idle: settings.idle,
        };
        let task = tokio::spawn(worker.run(waiting, stop.clone()));
        let writer = Self {
            queue,
            stop: stop.clone(),
            patience: settings.patience,
        };
        (writer, WriterTask { stop, task })
    }

    /// Has `command` decided and, if accepted, committed to disk before the answer comes.
    ///
    /// The outer error is the store's, the inner one the service's refusal. Once the command has
    /// found room in the queue it is applied even if the caller goes away: dropping the future
    /// drops only the answer.
    pub async fn submit(
        &self,
        command: B::Command,
    ) -> Result<Result<B::Answer, B::Error>, StoreError> {
        let room = self.room().await?;
        let (reply, answer) = oneshot::channel();
        room.send(vec![Waiting { command, reply }]);
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// The same for several commands of one caller, in one transaction and in their order: an answer
    /// for each. They should be so few that they hold up nobody else for long.
    pub async fn submit_all(
        &self,
        commands: impl IntoIterator<Item = B::Command>,
    ) -> Result<Vec<Result<Result<B::Answer, B::Error>, StoreError>>, StoreError> {
        let (handed, waiting): (Handed<B>, Vec<_>) = commands
            .into_iter()
            .map(|command| {
                let (reply, answer) = oneshot::channel();
                (Waiting { command, reply }, answer)
            })
            .unzip();
        if handed.is_empty() {
            return Ok(Vec::new());
        }
        self.room().await?.send(handed);
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.push(answer.await.unwrap_or(Err(StoreError::Stopped)));
        }
        Ok(answers)
    }

    async fn room(&self) -> Result<mpsc::Permit<'_, Handed<B>>, StoreError> {
        let room = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(StoreError::Stopped),
            room = tokio::time::timeout(self.patience, self.queue.reserve()) => room,
        };
        room.map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Stopped)
    }

    /// How much of what was handed in waits for a transaction; what is in the running one is not
    /// counted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        waiting_in(&self.queue)
    }
}

fn waiting_in<T>(queue: &mpsc::Sender<T>) -> usize {
    queue.max_capacity() - queue.capacity()
}

impl WriterTask {
    /// Takes no more commands, applies those that wait, answers them, and returns.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the writer task ended by itself");
        }
    }
}

struct Worker<B: Batch> {
    store: Store,
    batch: B,
    clock: Arc<dyn Clock>,
    weight: usize,
    idle: Duration,
}

impl<B: Batch> Worker<B> {
    async fn run(self, mut queue: mpsc::Receiver<Handed<B>>, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                first = queue.recv() => first,
                () = tokio::time::sleep(self.idle) => {
                    self.tend(&queue).await;
                    continue;
                }
            };
            let Some(first) = first else { return };
            let (commands, replies) = self.gather(first, &mut queue);
            self.serve(&commands, replies).await;
        }
    }

    /// Forgets kept answers step by step, for as long as nobody waits.
    async fn tend(&self, queue: &mpsc::Receiver<Handed<B>>) {
        while queue.is_empty() {
            match self.store.tend(self.clock.as_ref()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return log_failure(&error),
            }
        }
    }

    fn gather(
        &self,
        first: Handed<B>,
        queue: &mut mpsc::Receiver<Handed<B>>,
    ) -> (Vec<B::Command>, Vec<Reply<B>>) {
        let weigh = |handed: &Handed<B>| -> usize {
            let weights = handed.iter().map(|one| self.batch.weight(&one.command));
            weights.sum()
        };
        let mut weight = weigh(&first);
        let mut gathered = first;
        while weight < self.weight {
            let Ok(next) = queue.try_recv() else { break };
            weight += weigh(&next);
            gathered.extend(next);
        }
        let parts = gathered.into_iter().map(|one| (one.command, one.reply));
        parts.unzip()
    }

    async fn serve(&self, commands: &[B::Command], replies: Vec<Reply<B>>) {
        match self.transact(commands).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // A caller who went away needs no answer.
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(error) if commands.len() > 1 && error.may_be_one_commands() => {
                tracing::warn!(%error, commands = commands.len(), "a batch failed, its commands are tried one by one");
                for (command, reply) in commands.chunks(1).zip(replies) {
                    let answer = self
                        .transact(command)
                        .await
                        .and_then(|mut answers| answers.pop().ok_or_else(miscounted));
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// All of `commands` in one transaction: committed, or as if it had not been.
    async fn transact(
        &self,
        commands: &[B::Command],
    ) -> Result<Answers<B::Answer, B::Error>, StoreError> {
        for _ in 1..ATTEMPTS {
            match self.attempt(commands).await {
                Err(StoreError::TooLate) => {
                    let commands = commands.len();
                    tracing::warn!(
                        commands,
                        "a batch was too late to commit, it is decided anew"
                    );
                }
                done => return done.inspect_err(|error| self.failed(error)),
            }
        }
        let done = self.attempt(commands).await;
        done.inspect_err(|error| self.failed(error))
    }

    fn failed(&self, error: &StoreError) {
        log_failure(error);
        self.store.guard().failed(error);
    }

    async fn attempt(
        &self,
        commands: &[B::Command],
    ) -> Result<Answers<B::Answer, B::Error>, StoreError> {
        let since = Instant::now();
        let done = self.decide(commands).await;
        let ended = match &done {
            Ok(_) => Ended::Committed,
            Err(_) => Ended::Undone,
        };
        let meters = self.store.meters();
        meters.transaction(commands.len(), since.elapsed(), ended);
        done
    }

    async fn decide(
        &self,
        commands: &[B::Command],
    ) -> Result<Answers<B::Answer, B::Error>, StoreError> {
        let begun = self.store.begin_write_by(self.clock.as_ref()).await;
        let mut tx = begun?;
        let decided = contained(self.batch.apply(&mut tx, commands)).await;
        let decided = decided.and_then(|answers| {
            if answers.len() == commands.len() {
                Ok(answers)
            } else {
                Err(miscounted())
            }
        });
        match decided {
            Ok(answers) => {
                let since = Instant::now();
                let committed = contained(tx.commit()).await;
                self.store.meters().commit(since.elapsed());
                committed.map(|()| answers)
            }
            Err(error) => {
                if let Err(error) = tx.rollback().await {
                    // The pool opens another connection if this one is lost.
                    self.failed(&error);
                }
                Err(error)
            }
        }
    }
}

/// A panic is that transaction's own: the task goes on with the next one.
async fn contained<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.unwrap_or(Err(StoreError::Panicked))
}

fn miscounted() -> StoreError {
    StoreError::inconsistent("the batch", "commands and answers differ in number")
}

fn log_failure(error: &StoreError) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, source, "a write transaction failed");
}
