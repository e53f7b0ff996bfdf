//! How do the commands that wait become one transaction?

use mesh_store::{Answers, Batch, StoreError, WriteTx};

use super::followed::{self, Moved};
use super::outcomes::Ledger;
use super::{Disposition, Recording, Stale, Step};
use crate::flags::FlagChange;
use crate::obligation::{Meter, MeterChange};

/// What the service does with the commands that wait.
#[derive(Debug)]
pub(super) struct Reports;

/// One request to write.
#[derive(Debug)]
pub(super) enum Command {
    Record(Vec<Recording>),
    Flags {
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    },
    Meters {
        step: Step,
        changes: Vec<MeterChange>,
    },
    DropArrived {
        loader: i64,
    },
    Arrive {
        loader: i64,
        meters: Vec<Meter>,
    },
    LoadArrived {
        loader: i64,
        step: Step,
    },
}

#[derive(Debug)]
pub(super) enum Answer {
    Recorded(Vec<Disposition>),
    Done,
}

impl Batch for Reports {
    type Command = Command;
    type Answer = Answer;
    type Error = Stale;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Answer, Stale>, StoreError> {
        let recordings = commands.iter().filter_map(|command| match command {
            Command::Record(outcomes) => Some(outcomes.as_slice()),
            _ => None,
        });
        let mut ledger = Ledger::open(tx.conn(), recordings).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            let moved = match command {
                Command::Record(outcomes) => {
                    answers.push(Ok(Answer::Recorded(ledger.take(outcomes))));
                    continue;
                }
                Command::Flags {
                    step,
                    anew,
                    changes,
                } => followed::flags(tx.conn(), step, *anew, changes).await?,
                Command::Meters { step, changes } => {
                    followed::meters(tx.conn(), step, changes).await?
                }
                Command::DropArrived { loader } => {
                    followed::drop_arrived(tx.conn(), *loader).await?
                }
                Command::Arrive { loader, meters } => {
                    followed::arrive(tx.conn(), *loader, meters).await?
                }
                Command::LoadArrived { loader, step } => {
                    followed::load_arrived(tx.conn(), *loader, step).await?
                }
            };
            answers.push(match moved {
                Moved::Yes => Ok(Answer::Done),
                Moved::Stale => Err(Stale),
            });
        }
        let now = tx.now();
        ledger.close(tx.conn(), now).await?;
        Ok(answers)
    }

    fn weight(&self, command: &Command) -> usize {
        match command {
            Command::Record(outcomes) => outcomes.len(),
            Command::Flags { changes, .. } => changes.len(),
            Command::Meters { changes, .. } => changes.len(),
            Command::Arrive { meters, .. } => meters.len(),
            // Writes any number of rows by itself.
            Command::LoadArrived { .. } | Command::DropArrived { .. } => usize::MAX / 2,
        }
    }
}
