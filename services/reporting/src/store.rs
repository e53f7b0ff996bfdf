//! What does the service keep, and what may be asked of it?
//!
//! | Question | File |
//! |---|---|
//! | How do the commands that wait become one transaction? | `batch.rs` |
//! | Which outcomes are new, which were sent before? | `outcomes.rs` |
//! | How are outcomes counted? | `rolls.rs`, `total.rs` |
//! | When is it settled whether an outcome is excepted? | `open.rs` |
//! | After which edition was it counted? | `layers.rs` |
//! | Which editions of months are there, and what is in them? | `editions.rs`, `content.rs`, `closing.rs` |
//! | What do followed events change, and how far have they come? | `followed.rs` |
//! | What do the figures say? | `figures.rs`, `excepted.rs`, `obligations.rs` |
//! | How many meters had each supplier when a month ended? | `month_ends.rs`, `meters.rs` |
//! | Whose flags are set, and what became of flags month by month? | `flag_counts.rs` |
//! | Are the rows what they make of each other? | `fold.rs` |

mod batch;
mod closing;
#[cfg(test)]
mod conformance;
mod content;
mod editions;
mod excepted;
mod figures;
mod flag_counts;
mod fold;
mod followed;
mod layers;
mod meters;
mod month_ends;
mod obligations;
mod open;
mod outcomes;
mod rolls;
#[cfg(test)]
mod tests;
mod total;

use std::num::NonZeroU64;
use std::sync::Arc;

use mesh_authz::DevicePermit;
use mesh_store::cursor::{self, Cursor};
use mesh_store::sql::Conn;
use mesh_store::{
    Database, Migrator, Store, StoreError, Tokens, Writer, WriterSettings, WriterTask,
};
use mesh_types::{Clock, Interval, PartyId, Position, Timestamp};

use crate::edition::Layers;
use crate::exception::{Excepted, ExceptedKey};
use crate::flags::FlagChange;
use crate::grouping::FinestFigures;
use crate::obligation::{Meter, MeterEvent, Obligation};
use crate::outcome::{Outcome, Producer, Variant};
use crate::period::Period;
use batch::{Answer, Command, Refused, Reports};
use open::Settled;

pub use closing::{Chosen, NotChosen};
pub use editions::{Beginning, NotBegun};
pub use flag_counts::{FlagMonth, FlagsQuery};
pub use fold::ReportFolding;
pub use month_ends::AtEnd;

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The follower of the log `flags`, as its cursor is named.
const FLAGS: &str = "flags";
/// The follower of the log `devices`, as its cursor is named.
const DEVICES: &str = "devices";

/// Transactions of one call that settles: about 100,000 outcomes, of which the country sends so many in three
/// minutes.
const MOST_AT_ONCE: usize = 20;

/// The service's database.
#[derive(Debug, Clone)]
pub struct ReportStore {
    store: Store,
    writer: Writer<Reports>,
}

/// Outcomes that a producer sends together.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The producer.
    pub producer: Producer,
    /// The number of the batch, if the producer numbers them.
    pub numbered: Option<Numbered>,
    /// The outcomes.
    pub outcomes: Vec<Recording>,
}

/// The number of a batch: one more than that of the producer's batch before, from 1 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// The number.
    pub number: NonZeroU64,
    /// Differs between batches of different content.
    pub content: String,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What became of each outcome.
    pub dispositions: Vec<Disposition>,
    /// The number of the producer's last batch; 0 if it does not number them.
    pub last_number: u64,
}

/// Why a delivery is not taken. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misnumbered {
    /// Batches are missing before it.
    Missing {
        /// The number of the next batch.
        next: u64,
    },
    /// The number is that of the last batch, and the content is another.
    Reused,
    /// It has no number, and those before have.
    Without {
        /// The number of the next batch.
        next: u64,
    },
}

/// An outcome to record. Its Device is the permit's.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Why it may be written.
    pub permit: DevicePermit,
    /// What it says.
    pub outcome: Outcome,
}

/// What became of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is on disk now.
    Recorded,
    /// It was before.
    Duplicate,
    /// Its producer used its id before for another one.
    Reused,
    /// Its Device is a SMETS1 meter, of which no report tells.
    Outside,
}

/// The cursor does not stand where the step began: another replica took it. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

/// A step along a followed log.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where the follower believes to stand; `None` at its first step.
    pub from: Option<Cursor>,
    /// Where it stands afterwards.
    pub to: Cursor,
}

/// Which figures a Service Request report is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiguresQuery {
    /// The month.
    pub period: Period,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// Only this variant.
    pub variant: Option<Variant>,
    /// Which of what is recorded.
    pub layers: Layers,
}

/// What all Service Request reports of a month are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthFigures {
    /// The figures of each supplier and variant.
    pub figures: FinestFigures,
    /// What they rest on.
    pub basis: Basis,
}

/// What a list of Devices with excepted requests is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptedQuery {
    /// The month.
    pub period: Period,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// Only where at least one was delivered all the same.
    pub delivered_only: bool,
    /// Which of what is recorded.
    pub layers: Layers,
}

/// A page of the Devices with excepted requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptedPage {
    /// The rows.
    pub rows: Vec<(ExceptedKey, Excepted)>,
    /// Whether more rows follow.
    pub more: bool,
    /// What it rests on.
    pub basis: Basis,
}

/// A page of the obligation report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObligationsPage {
    /// The rows, by supplier.
    pub rows: Vec<(PartyId, Obligation)>,
    /// Whether more rows follow.
    pub more: bool,
    /// What it rests on.
    pub basis: Basis,
}

/// What a report rests on, read in the same transaction as the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// The position in the log `flags` that was applied, if it was ever followed.
    pub flags: Option<Position>,
    /// The position in the log `devices` that was applied, if it was ever followed.
    pub devices: Option<Position>,
    /// How many outcomes there are.
    pub outcomes: u64,
    /// Every flag event before this instant has been applied; `None` before the log was followed.
    pub settled_until: Option<Timestamp>,
    /// How many outcomes of the report a flag event that is still to come may except.
    pub open: u64,
}

impl ReportStore {
    /// Opens the database and starts its writer.
    pub async fn open(
        database: &Database,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, WriterTask), StoreError> {
        let store = Store::open(database, &MIGRATIONS).await?;
        store.wake(&*clock).await?;
        let settings = WriterSettings::default();
        let (writer, task) = Writer::start(store.clone(), Reports, clock, settings);
        Ok((Self { store, writer }, task))
    }

    /// The database itself.
    #[must_use]
    pub const fn database(&self) -> &Store {
        &self.store
    }

    /// Makes and checks page tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        self.store.tokens()
    }

    /// Closes the database. The writer is stopped first.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Records the outcomes of a delivery, each by itself: what became of them, in their order, once they
    /// are on disk.
    pub async fn record(
        &self,
        delivery: Delivery,
    ) -> Result<Result<Taken, Misnumbered>, StoreError> {
        match self.writer.submit(Command::Record(delivery)).await? {
            Ok(Answer::Recorded(taken)) => Ok(Ok(taken)),
            Err(Refused::Misnumbered(misnumbered)) => Ok(Err(misnumbered)),
            Ok(_) | Err(Refused::Stale | Refused::NotBegun(_)) => Err(misanswered()),
        }
    }

    /// Settles which outcomes are excepted, given that every flag event before `until` had been applied when
    /// the cursor stood at `at`; and forgets ids that are too old to be recognised. What is too much for one
    /// call is left for the next: whoever calls has the log to follow.
    pub async fn settle(&self, at: &Cursor, until: Timestamp) -> Result<(), StoreError> {
        for _ in 0..MOST_AT_ONCE {
            let at = at.clone();
            match self.writer.submit(Command::Settle { at, until }).await? {
                Ok(Answer::Settled(Settled::All)) => break,
                Ok(Answer::Settled(Settled::Some)) => {}
                Ok(_) | Err(_) => return Err(misanswered()),
            }
        }
        Ok(())
    }

    /// How far the log `flags` was applied.
    pub async fn flags_cursor(&self) -> Result<Option<Cursor>, StoreError> {
        self.cursor(FLAGS).await
    }

    /// How far the log `flags` was counted: less far than it was applied if it was applied by a version of the
    /// service that did not count.
    pub async fn flags_counted(&self) -> Result<Option<Cursor>, StoreError> {
        self.cursor(flag_counts::COUNTS).await
    }

    /// Counts events of the log `flags` that were applied before. With `anew` what was counted before is forgotten.
    pub async fn count_flags(
        &self,
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    ) -> Result<Result<(), Stale>, StoreError> {
        let command = Command::CountFlags {
            step,
            anew,
            changes,
        };
        self.step(command).await
    }

    /// Takes the figures of the ends of months before `until`, given that every event of the log `devices` before that
    /// had been applied when the cursor stood at `at`, where its owner looked at `looked`.
    pub async fn devices_known(
        &self,
        at: &Cursor,
        until: Timestamp,
        looked: Timestamp,
    ) -> Result<(), StoreError> {
        let at = at.clone();
        self.done(Command::DevicesKnown { at, until, looked }).await
    }

    /// How far the log `devices` was applied.
    pub async fn devices_cursor(&self) -> Result<Option<Cursor>, StoreError> {
        self.cursor(DEVICES).await
    }

    /// Whether everything that reports rest on was followed at least once.
    pub async fn is_loaded(&self) -> Result<bool, StoreError> {
        let flags = self.flags_cursor().await?;
        Ok(flags.is_some() && self.devices_cursor().await?.is_some())
    }

    async fn cursor(&self, follower: &str) -> Result<Option<Cursor>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        cursor::get(&mut conn, follower).await
    }

    /// Applies and counts events of the log `flags`. With `anew`, what an earlier history of the log said is
    /// forgotten first. Says how many of them are older than what was settled, which does not change any
    /// more: a defect of the log's owner.
    pub async fn apply_flags(
        &self,
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    ) -> Result<Result<u64, Stale>, StoreError> {
        let command = Command::Flags {
            step,
            anew,
            changes,
        };
        match self.writer.submit(command).await? {
            Ok(Answer::Flags { late }) => Ok(Ok(late)),
            Err(Refused::Stale) => Ok(Err(Stale)),
            Ok(_) | Err(Refused::Misnumbered(_) | Refused::NotBegun(_)) => Err(misanswered()),
        }
    }

    /// Applies events of the log `devices`, and takes the figures of the ends of months that they pass.
    pub async fn apply_meters(
        &self,
        step: Step,
        events: Vec<MeterEvent>,
    ) -> Result<Result<(), Stale>, StoreError> {
        self.step(Command::Meters { step, events }).await
    }

    /// Forgets what has arrived of an unfinished snapshot for `loader`, a number that no other
    /// replica draws.
    pub async fn drop_arrived(&self, loader: i64) -> Result<(), StoreError> {
        self.done(Command::DropArrived { loader }).await
    }

    /// Keeps a part of a snapshot aside.
    pub async fn arrive(&self, loader: i64, meters: Vec<Meter>) -> Result<(), StoreError> {
        self.done(Command::Arrive { loader, meters }).await
    }

    /// Puts the snapshot that has arrived for `loader` in the place of what was known.
    pub async fn load_arrived(
        &self,
        loader: i64,
        step: Step,
    ) -> Result<Result<(), Stale>, StoreError> {
        self.step(Command::LoadArrived { loader, step }).await
    }

    async fn step(&self, command: Command) -> Result<Result<(), Stale>, StoreError> {
        match self.writer.submit(command).await? {
            Ok(Answer::Done) => Ok(Ok(())),
            Err(Refused::Stale) => Ok(Err(Stale)),
            Ok(_) | Err(Refused::Misnumbered(_) | Refused::NotBegun(_)) => Err(misanswered()),
        }
    }

    async fn done(&self, command: Command) -> Result<(), StoreError> {
        self.step(command).await?.map_err(|Stale| misanswered())
    }

    /// The figures of a month.
    pub async fn figures(&self, query: &FiguresQuery) -> Result<MonthFigures, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let figures = figures::read(&mut snapshot, query).await?;
        let basis = basis(&mut snapshot, Some(query.period.interval())).await?;
        Ok(MonthFigures { figures, basis })
    }

    /// A page of the Devices with excepted requests: at most `size` rows after `after`.
    pub async fn excepted(
        &self,
        query: &ExceptedQuery,
        after: Option<&ExceptedKey>,
        size: usize,
    ) -> Result<ExceptedPage, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let (rows, more) = excepted::rows(&mut snapshot, query, after, size).await?;
        let basis = basis(&mut snapshot, Some(query.period.interval())).await?;
        Ok(ExceptedPage { rows, more, basis })
    }

    /// A page of the obligation report: at most `size` suppliers after `after`.
    pub async fn obligations(
        &self,
        party: Option<&PartyId>,
        after: Option<&PartyId>,
        size: usize,
    ) -> Result<ObligationsPage, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let mut rows = obligations::rows(&mut snapshot, party, after).await?;
        let basis = basis(&mut snapshot, None).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        Ok(ObligationsPage { rows, more, basis })
    }
}

/// What a report rests on that is about outcomes of `interval`, if it is about outcomes.
async fn basis(conn: &mut Conn, interval: Option<Interval>) -> Result<Basis, StoreError> {
    let flags = cursor::get(conn, FLAGS).await?;
    let devices = cursor::get(conn, DEVICES).await?;
    let outcomes = total::read(conn).await?;
    let settled_until = open::settled_until(conn).await?;
    let open = match interval {
        Some(interval) => open::within(conn, interval).await?,
        None => 0,
    };
    Ok(Basis {
        flags: flags.map(|cursor| cursor.position),
        devices: devices.map(|cursor| cursor.position),
        outcomes,
        settled_until: (settled_until > Timestamp::from_micros(0)).then_some(settled_until),
        open,
    })
}

/// A number of things, as a database holds it.
fn count(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::inconsistent(table, "a count is negative"))
}

fn misanswered() -> StoreError {
    StoreError::inconsistent("the batch", "a command got another one's answer")
}
