//! How do the commands that wait become one transaction?

use std::collections::BTreeMap;

use mesh_store::cursor::{Advance, Cursor};
use mesh_store::{Answers, Batch, StoreError, WriteTx};
use mesh_types::Timestamp;

use super::editions::{self, Beginning, NotBegun};
use super::followed::{self, Moved};
use super::open::{Settled, settle};
use super::outcomes::Ledger;
use super::{Delivery, Misnumbered, Step, Taken, flag_counts, month_ends, total};
use crate::business_process::ProcessKey;
use crate::edition::Seal;
use crate::flags::FlagChange;
use crate::obligation::{Meter, MeterEvent};
use crate::outcome::Variant;

/// What the service does with the commands that wait.
#[derive(Debug)]
pub(super) struct Reports;

/// One request to write.
#[derive(Debug)]
pub(super) enum Command {
    Record(Delivery),
    Settle {
        at: Cursor,
        until: Timestamp,
    },
    BeginEdition(Beginning),
    SealEdition {
        number: u64,
        seal: Seal,
        processes: BTreeMap<Variant, ProcessKey>,
    },
    Flags {
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    },
    /// Of events that were applied before.
    CountFlags {
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    },
    Meters {
        step: Step,
        events: Vec<MeterEvent>,
    },
    DevicesKnown {
        at: Cursor,
        until: Timestamp,
        looked: Timestamp,
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
    Recorded(Taken),
    Settled(Settled),
    Begun(u64),
    Flags { late: u64 },
    Done,
}

/// Why a command is not carried out. Nothing of it was written.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another replica was first.
    Stale,
    Misnumbered(Misnumbered),
    NotBegun(NotBegun),
}

impl Batch for Reports {
    type Command = Command;
    type Answer = Answer;
    type Error = Refused;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Answer, Refused>, StoreError> {
        let deliveries = commands.iter().filter_map(|command| match command {
            Command::Record(delivery) => Some(delivery),
            _ => None,
        });
        let now = tx.now();
        // Before any cursor, whatever comes first: two replicas that lock in another order wait for each other. And
        // nothing is settled while another history of the flags takes the place of the one it rests on.
        let counts = |command: &Command| {
            matches!(
                command,
                Command::Record(_)
                    | Command::Settle { .. }
                    | Command::BeginEdition(_)
                    | Command::Flags { anew: true, .. }
            )
        };
        if commands.iter().any(counts) {
            total::lock(tx.conn()).await?;
        }
        let mut ledger = Ledger::open(tx.conn(), deliveries).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            let moved = match command {
                Command::Record(delivery) => {
                    let taken = ledger.take(delivery);
                    answers.push(taken.map(Answer::Recorded).map_err(Refused::Misnumbered));
                    continue;
                }
                Command::Settle { at, until } => {
                    let settled = settle(tx.conn(), at, *until, now).await?;
                    month_ends::complete(tx.conn()).await?;
                    answers.push(Ok(Answer::Settled(settled)));
                    continue;
                }
                Command::BeginEdition(beginning) => {
                    let begun = editions::begin(tx.conn(), beginning, now).await?;
                    answers.push(begun.map(Answer::Begun).map_err(Refused::NotBegun));
                    continue;
                }
                Command::SealEdition {
                    number,
                    seal,
                    processes,
                } => {
                    editions::seal(tx.conn(), *number, seal, processes).await?;
                    Moved::Yes
                }
                Command::Flags {
                    step,
                    anew,
                    changes,
                } => {
                    let late = followed::flags(tx.conn(), step, *anew, changes).await?;
                    answers.push(
                        late.map(|late| Answer::Flags { late })
                            .ok_or(Refused::Stale),
                    );
                    continue;
                }
                Command::CountFlags {
                    step,
                    anew,
                    changes,
                } => match flag_counts::count(tx.conn(), step, *anew, changes).await? {
                    Advance::Moved => Moved::Yes,
                    Advance::Stale => Moved::Stale,
                },
                Command::Meters { step, events } => {
                    followed::meters(tx.conn(), step, events).await?
                }
                Command::DevicesKnown { at, until, looked } => {
                    month_ends::known(tx.conn(), at, (*until).min(now), *looked).await?;
                    Moved::Yes
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
                Moved::Stale => Err(Refused::Stale),
            });
        }
        ledger.close(tx.conn(), now).await?;
        Ok(answers)
    }

    fn weight(&self, command: &Command) -> usize {
        match command {
            Command::Record(delivery) => delivery.outcomes.len(),
            Command::Flags { changes, .. } | Command::CountFlags { changes, .. } => changes.len(),
            Command::Meters { events, .. } => events.len(),
            Command::Arrive { meters, .. } => meters.len(),
            // Writes very many rows by itself.
            Command::Settle { .. }
            | Command::DevicesKnown { .. }
            | Command::LoadArrived { .. }
            | Command::DropArrived { .. } => usize::MAX / 2,
            Command::BeginEdition(_) => 1,
            Command::SealEdition { processes, .. } => processes.len(),
        }
    }
}
