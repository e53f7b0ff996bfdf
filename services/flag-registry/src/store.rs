//! What is kept of the flags, and who writes it?
//!
//! Callers' changes and the batches that the follower of the log `devices` takes over are commands
//! of one writer, so that their order is total: whether a supplier's change or the change of
//! supplier came first is what the log says.
//!
//! | Question | File |
//! |---|---|
//! | What is asked of the store? | [`Command`] (`store/command.rs`) |
//! | How is a batch of commands decided? | `store/batch.rs` |
//! | How is a prompt of the DSP decided? | `store/note.rs` |
//! | What has changed in this transaction so far? | `store/ledger.rs` |
//! | Are the entries what the log says? | [`EntryFolding`] (`store/fold.rs`) |
//! | What is read? | `store/read.rs`, of an instant `store/past.rs` |
//! | How does an entry look as a row? | `store/rows.rs` |
//! | How much of its quotas has a supplier spent? | `store/spent.rs` |
//! | Until when is a supplier known to stay responsible? | `store/tenure.rs` |

mod batch;
mod command;
mod fold;
mod ledger;
mod note;
mod past;
mod read;
mod rows;
mod spent;
mod tenure;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mesh_api::flag_registry::v1::NoteTenancyRestrictionResponse;
use mesh_store::cursor::Advance;
use mesh_store::{Database, Migrator, Store, StoreError, Writer, WriterSettings, WriterTask};
use mesh_types::{Clock, LogName};

pub use command::{
    Answered, ChangeCommand, Command, Declined, FollowedBatch, NoteCommand, StillAllowed,
};
pub use fold::{EntryFolding, foldings};
pub use read::{EntryFilter, HistoryPage};

use crate::error::Error;
use crate::quota::Quotas;
use batch::{Answer, Registry};

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The log that this service owns.
pub const FLAGS: &str = "flags";

/// The name under which the follower of the log `devices` keeps its cursor.
pub const DEVICES_FOLLOWER: &str = "flag-registry/devices";

/// The flags, and the one task that writes them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FlagStore {
    store: Store,
    log: LogName,
    writer: Writer<Registry>,
}

impl FlagStore {
    /// Opens the database, makes the log if it is not there, and starts the writer.
    pub async fn open(
        database: &Database,
        clock: Arc<dyn Clock>,
        quotas: Quotas,
        settings: WriterSettings,
    ) -> Result<(Self, WriterTask), StoreError> {
        let store = Store::open(database, &MIGRATIONS).await?;
        let log: LogName = FLAGS
            .parse()
            .map_err(|_| StoreError::inconsistent("log_head", "the log's name is malformed"))?;
        store.wake(&*clock).await?;
        store.make_logs(&[&log], &*clock).await?;
        let registry = Registry::new(log.clone(), quotas);
        let (writer, task) = Writer::start(store.clone(), registry, clock, settings);
        Ok((Self { store, log, writer }, task))
    }

    /// The database, for serving its log and for its page tokens.
    #[must_use]
    pub const fn database(&self) -> &Store {
        &self.store
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &LogName {
        &self.log
    }

    /// Has a caller's change decided and, if it is granted, committed.
    pub async fn change(
        &self,
        command: ChangeCommand,
    ) -> Result<Result<Answered, Declined>, StoreError> {
        let command = Command::Change(Box::new(command));
        changed(self.writer.submit(command).await?)
    }

    /// The same for several changes, in their order and in one transaction: an answer for each.
    pub async fn change_all(
        &self,
        commands: impl IntoIterator<Item = ChangeCommand>,
    ) -> Result<Vec<Result<Result<Answered, Declined>, StoreError>>, StoreError> {
        let commands = commands.into_iter().map(Box::new).map(Command::Change);
        let answers = self.writer.submit_all(commands).await?;
        Ok(answers.into_iter().map(|answer| changed(answer?)).collect())
    }

    /// Has a review asked for and committed, if the Device that SRV 3.2 was sent to is flagged.
    pub async fn note(
        &self,
        command: NoteCommand,
    ) -> Result<NoteTenancyRestrictionResponse, Error> {
        match self.writer.submit(Command::Note(Box::new(command))).await? {
            Ok(Answer::Noted(answer)) => Ok(answer),
            Err(Declined::Refused(error)) => Err(error),
            Ok(Answer::Changed(_) | Answer::Followed(_)) | Err(Declined::AskAgain(_)) => {
                Err(mixed_up().into())
            }
        }
    }

    /// Has what a batch of followed events does committed together with the cursor, unless another
    /// replica was first.
    pub async fn follow(&self, batch: FollowedBatch) -> Result<Advance, StoreError> {
        match self.writer.submit(Command::Followed(batch)).await? {
            Ok(Answer::Followed(advance)) => Ok(advance),
            Ok(Answer::Changed(_) | Answer::Noted(_)) | Err(_) => Err(mixed_up()),
        }
    }
}

fn changed(answer: Result<Answer, Declined>) -> Result<Result<Answered, Declined>, StoreError> {
    match answer {
        Ok(Answer::Changed(answered)) => Ok(Ok(*answered)),
        Ok(Answer::Noted(_) | Answer::Followed(_)) => Err(mixed_up()),
        Err(declined) => Ok(Err(declined)),
    }
}

fn mixed_up() -> StoreError {
    StoreError::inconsistent("the batch", "an answer belongs to another kind of command")
}
