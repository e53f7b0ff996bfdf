//! How is a batch of commands decided?
//!
//! Check and commit: a permit was given at a position of the log `devices`. If the follower or the
//! Device's entry has come further than that by the time of the transaction, or the permit has
//! ended, the caller must ask again; the facts that a change rests on are therefore never older than
//! those that the log `flags` already shows. And nothing commits so late in a permit's lease that
//! registration could have told somebody already that the Device is another supplier's.

use std::time::{Duration, Instant};

use mesh_api::flag_registry::v1::{Cause, NoteTenancyRestrictionResponse, RemoveFlagResponse};
use mesh_authz::Authorized;
use mesh_store::cursor::{self, Advance, Cursor};
use mesh_store::{Answers, Batch, Outcome, StoreError, WriteTx};
use mesh_types::{DeviceId, LogName, Position, Timestamp};
use prost::Message as _;

use super::DEVICES_FOLLOWER;
use super::command::{Answered, ChangeCommand, Command, Declined, FollowedBatch};
use super::ledger::{Ledger, Recorded};
use super::rows;
use super::spent::Suppliers;
use super::tenure::Tenures;
use crate::decide::{Decision, decide};
use crate::error::Error;
use crate::flag::{Change, Entry, NO_HISTORY};
use crate::lifecycle::{DeviceEvent, News, Tenure};
use crate::quota::{self, Effect, Quotas, Spent};
use crate::wire;

/// How much of a lease must be left when the COMMIT begins: how long a COMMIT may take. It writes and
/// flushes one batch, which takes milliseconds.
const TO_COMMIT: Duration = Duration::from_millis(200);

/// How much must be left when the batch is decided: the same, and the time to decide and write it.
const TO_DECIDE: Duration = Duration::from_millis(300);

/// The writer's part that knows flags.
#[derive(Debug)]
pub(super) struct Registry {
    log: LogName,
    quotas: Quotas,
}

/// What an accepted command is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Changed(Box<Answered>),
    Noted(NoteTenancyRestrictionResponse),
    Followed(Advance),
}

impl Registry {
    pub(super) const fn new(log: LogName, quotas: Quotas) -> Self {
        Self { log, quotas }
    }
}

impl Batch for Registry {
    type Command = Command;
    type Answer = Answer;
    type Error = Declined;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Answer, Declined>, StoreError> {
        let keys = commands.iter().filter_map(|command| match command {
            Command::Change(change) => Some(&change.key),
            Command::Note(note) => Some(&note.key),
            Command::Followed(_) => None,
        });
        let named = Named::in_commands(commands);
        let asked = (
            cursor::question(DEVICES_FOLLOWER),
            Tenures::resting_on_any(&named.registrations),
            rows::present(&named.devices, &named.covered, &named.hubs),
        );
        let (cursor, tenures, entries) = tx.open(&self.log, keys, asked).await?;
        let now = tx.now().max(tx.head(&self.log)?.recorded_time);
        let mut ledger = Ledger::of(&self.log, named.devices, entries);
        ledger.learn(tx, tenures.devices()).await?;
        let mut batch = Transaction {
            tx,
            now,
            began: Instant::now(),
            ledger,
            tenures,
            suppliers: Suppliers::default(),
            quotas: self.quotas,
            cursor,
        };
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(match command {
                Command::Change(change) => batch
                    .change(change)
                    .await?
                    .map(|answered| Answer::Changed(Box::new(answered))),
                Command::Note(note) => batch.note(note)?.map(Answer::Noted),
                Command::Followed(followed) => Ok(Answer::Followed(batch.follow(followed).await?)),
            });
        }
        let Transaction {
            tx,
            ledger,
            tenures,
            suppliers,
            ..
        } = batch;
        ledger.write(tx);
        suppliers.write(tx);
        tenures.write(tx);
        Ok(answers)
    }

    fn weight(&self, command: &Command) -> usize {
        match command {
            Command::Change(_) | Command::Note(_) => 1,
            Command::Followed(followed) => followed.events.len().max(1),
        }
    }
}

/// What commands can be about.
#[derive(Default)]
struct Named<'c> {
    devices: Vec<DeviceId>,
    /// Devices whose flag may be another's.
    covered: Vec<DeviceId>,
    hubs: Vec<DeviceId>,
    /// On which tenures may rest that end.
    registrations: Vec<&'c str>,
}

impl<'c> Named<'c> {
    fn in_commands(commands: &'c [Command]) -> Self {
        let mut named = Self::default();
        for command in commands {
            match command {
                Command::Change(change) => named.devices.push(change.device),
                Command::Note(note) => {
                    named.devices.push(note.device);
                    named.covered.push(note.device);
                }
                Command::Followed(followed) => {
                    for (_, event) in &followed.events {
                        named.news(&event.news);
                    }
                }
            }
        }
        for ids in [&mut named.devices, &mut named.hubs] {
            ids.sort_unstable();
            ids.dedup();
        }
        named
    }

    fn news(&mut self, news: &'c News) {
        match news {
            News::Supplier { devices, .. } => self.devices.extend(devices),
            News::RegistrationEnds(tenure) => self.registrations.push(&tenure.registration_id),
            News::Meter(record) => self.devices.push(record.device),
            News::Hub { hub, .. } => self.hubs.push(*hub),
            News::Nothing => {}
        }
    }
}

pub(super) struct Transaction<'t> {
    pub(super) tx: &'t mut WriteTx,
    /// Never before what the log has recorded.
    now: Timestamp,
    /// By the clock that leases go by.
    began: Instant,
    pub(super) ledger: Ledger,
    tenures: Tenures,
    suppliers: Suppliers,
    quotas: Quotas,
    /// Where the follower stands, batches of this transaction included.
    cursor: Option<Cursor>,
}

impl Transaction<'_> {
    /// Decides a caller's change. The outer error undoes the whole transaction.
    async fn change(
        &mut self,
        command: &ChangeCommand,
    ) -> Result<Result<Answered, Declined>, StoreError> {
        if let Err(declined) = self.check(command) {
            return Ok(Err(declined));
        }
        match self.tx.outcome(&command.key, &command.fingerprint)? {
            Outcome::Replay(answer) => return replayed(&answer).map(Ok),
            Outcome::Reused => return Ok(Err(Error::RequestIdReused.into())),
            Outcome::New => {}
        }
        let entry = self.ledger.entry(command.device);
        let decision = match judge(entry, command, self.now) {
            Ok(decision) => decision,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = self.check_quotas(command, &decision).await? {
            return Ok(Err(error.into()));
        }
        if command.validate_only {
            let entry = wire::entry_of(command.device, self.ledger.entry(command.device));
            let answer = wire::change_answer(entry, decision.changed, None);
            return Ok(Ok(Answered(answer)));
        }
        self.commit(command, decision).map(Ok)
    }

    /// Whether the permit still allows what it did when it was given.
    fn check(&self, command: &ChangeCommand) -> Result<(), Declined> {
        (command.still_allowed)()?;
        if self.now >= command.expires || self.began + TO_DECIDE > command.lease_ends {
            return Err(Declined::AskAgain(command.position.clone()));
        }
        let followed = self.cursor.as_ref().map(|cursor| &cursor.position);
        if followed.is_some_and(|followed| !followed.comparable(&command.position)) {
            // Registration was restored from a backup, and the follower has not yet noticed.
            return Err(Error::AuthorityChanged.into());
        }
        // Another write may have been given newer facts of the Device than the follower has.
        let entry = self.ledger.entry(command.device);
        let shown = followed
            .into_iter()
            .chain(entry.map(|entry| &entry.rests_on));
        let newer = shown
            .filter(|shown| shown.comparable(&command.position))
            .filter(|shown| shown.sequence > command.position.sequence)
            .max_by_key(|shown| shown.sequence);
        newer.map_or(Ok(()), |newer| Err(Declined::AskAgain(newer.clone())))
    }

    /// Whether there is room for a decision in the quotas of its Device and supplier. They go by
    /// what the clock shows and not by a time that never goes back: one clock that was wrong would hold
    /// them up for as long as it was ahead.
    async fn check_quotas(
        &mut self,
        command: &ChangeCommand,
        decision: &Decision,
    ) -> Result<Result<(), Error>, StoreError> {
        let (effect, now) = (decision.effect, self.tx.shown());
        let party = &command.facts.supplier;
        let unspent = Spent::default();
        let supplier = match effect {
            Effect::Needed => &unspent,
            _ => self.suppliers.spent(self.tx.conn(), party).await?,
        };
        let room = quota::judge(effect, &decision.spent, supplier, &self.quotas, now);
        Ok(room.map_err(|used_up| Error::QuotaExhausted {
            used_up,
            subject: if used_up.quota.is_of_a_device() {
                command.device.to_string()
            } else {
                party.to_string()
            },
        }))
    }

    fn commit(
        &mut self,
        command: &ChangeCommand,
        decision: Decision,
    ) -> Result<Answered, StoreError> {
        // Without room for the COMMIT the lease has ended: nothing is committed then.
        let deadline = command.lease_ends.checked_sub(TO_COMMIT);
        self.tx.commit_before(deadline.unwrap_or(self.began));
        let recorded = |change, by| Recorded {
            device: command.device,
            meter: decision.meter,
            change,
            by,
            trace_parent: command.trace_parent.clone(),
        };
        for change in decision.caught_up {
            let news = recorded(change, None);
            self.ledger.record(self.tx, &command.authorized, news)?;
        }
        let news = recorded(decision.change, Some(command.by.clone()));
        let position = self.ledger.record(self.tx, &command.authorized, news)?;
        let (effect, clock) = (decision.effect, self.tx.shown());
        self.ledger.spend(command.device, effect, clock);
        self.suppliers.note(&command.facts.supplier, effect, clock);
        let tenure = Tenure {
            registration_id: command.by.registration_id.clone(),
            until: command.expires,
        };
        self.tenures.set(command.device, tenure);
        let entry = wire::entry_of(command.device, self.ledger.entry(command.device));
        let answer = wire::change_answer(entry, decision.changed, Some(&position));
        let kept = answer.encode_to_vec();
        self.tx.keep(&command.key, command.fingerprint, kept)?;
        Ok(Answered(answer))
    }

    /// Moves the cursor over a batch and writes what its events do.
    async fn follow(&mut self, batch: &FollowedBatch) -> Result<Advance, StoreError> {
        let from = batch.from.as_ref();
        let step = cursor::advance(self.tx.conn(), DEVICES_FOLLOWER, from, &batch.to).await?;
        if step == Advance::Moved {
            for (sequence, event) in &batch.events {
                let position = Position {
                    sequence: *sequence,
                    ..batch.to.position.clone()
                };
                self.take_over(event, &position)?;
            }
            self.cursor = Some(batch.to.clone());
        }
        Ok(step)
    }

    fn take_over(&mut self, event: &DeviceEvent, position: &Position) -> Result<(), StoreError> {
        let authorized = Authorized::Followed(position.clone());
        for device in self.named_by(event) {
            let Some(entry) = self.ledger.entry(device) else {
                continue;
            };
            if !entry.is_behind(position) {
                continue;
            }
            let meter = entry.meter;
            let changes = event.effects(entry);
            self.follow_tenure(device, event, &changes);
            for change in changes {
                let span = tracing::info_span!(
                    parent: None,
                    "apply device event",
                    mp169.service = "flag-registry",
                    mp169.log = "devices",
                    mp169.sequence = position.sequence,
                    mp169.cause = change.cause.as_str_name(),
                );
                mesh_rpc::link_to(&span, &event.trace_parent);
                let _entered = span.enter();
                let news = Recorded {
                    device,
                    meter,
                    change,
                    by: None,
                    trace_parent: event.trace_parent.clone(),
                };
                self.ledger.record(self.tx, &authorized, news)?;
            }
        }
        Ok(())
    }

    fn follow_tenure(&mut self, device: DeviceId, event: &DeviceEvent, changes: &[Change]) {
        let other_supplier = changes
            .iter()
            .any(|change| change.cause == Cause::SupplierChanged);
        let tenure = match &event.news {
            News::Supplier { tenure, .. } | News::RegistrationEnds(tenure) => tenure.clone(),
            News::Meter(_) if other_supplier => Tenure::unknown(),
            News::Meter(_) | News::Hub { .. } | News::Nothing => return,
        };
        self.tenures.set(device, tenure);
    }

    fn named_by(&self, event: &DeviceEvent) -> Vec<DeviceId> {
        match &event.news {
            News::Supplier { devices, .. } => devices.clone(),
            News::RegistrationEnds(tenure) => self.tenures.resting_on(&tenure.registration_id),
            News::Meter(record) => vec![record.device],
            News::Hub { hub, .. } => self.ledger.on_hub(*hub),
            News::Nothing => Vec::new(),
        }
    }
}

fn judge(
    entry: Option<&Entry>,
    command: &ChangeCommand,
    now: Timestamp,
) -> Result<Decision, Error> {
    let etag = entry.map_or_else(|| NO_HISTORY.to_owned(), Entry::etag);
    if !command.etag.is_empty() && command.etag != etag {
        return Err(Error::EtagMismatch { now: etag });
    }
    decide(entry, &command.wish, &command.facts, now).map_err(Error::Preconditions)
}

fn replayed(answer: &[u8]) -> Result<Answered, StoreError> {
    let mut answer = RemoveFlagResponse::decode(answer)
        .map_err(|_| StoreError::inconsistent("idempotency", "an answer is malformed"))?;
    answer.replayed = true;
    Ok(Answered(answer))
}
