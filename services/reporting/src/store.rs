//! What does the service keep, and what may be asked of it?
//!
//! | Question | File |
//! |---|---|
//! | How do the commands that wait become one transaction? | `batch.rs` |
//! | Which outcomes are new, which were sent before? | `outcomes.rs` |
//! | What do followed events change, and how far have they come? | `followed.rs` |
//! | What do the figures say? | `figures.rs`, `excepted.rs`, `obligations.rs` |
//! | Are the rows what they make of each other? | `fold.rs` |

mod batch;
#[cfg(test)]
mod conformance;
mod excepted;
mod figures;
mod fold;
mod followed;
mod obligations;
mod outcomes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mesh_authz::DevicePermit;
use mesh_store::cursor::{self, Cursor};
use mesh_store::sql::{Conn, query_scalar};
use mesh_store::{
    Database, Migrator, Store, StoreError, Tokens, Writer, WriterSettings, WriterTask,
};
use mesh_types::{Clock, DeviceId, PartyId, Position};

use crate::exception::Excepted;
use crate::flags::FlagChange;
use crate::grouping::FinestFigures;
use crate::month::Month;
use crate::obligation::{Meter, MeterChange, Obligation};
use crate::outcome::{Outcome, Producer, Variant};
use batch::{Answer, Command, Reports};

pub use fold::ReportFolding;

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The follower of the log `flags`, as its cursor is named.
const FLAGS: &str = "flags";
/// The follower of the log `devices`, as its cursor is named.
const DEVICES: &str = "devices";

/// The service's database.
#[derive(Debug, Clone)]
pub struct ReportStore {
    store: Store,
    writer: Writer<Reports>,
}

/// An outcome to record. Its Device is the permit's.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The producer that sent it.
    pub producer: Producer,
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
    pub month: Month,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// Only this variant.
    pub variant: Option<Variant>,
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
    pub month: Month,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// Only where at least one was delivered all the same.
    pub delivered_only: bool,
}

/// The key of a row of the Devices with excepted requests, in the order of its rows.
pub type ExceptedKey = (DeviceId, PartyId, Variant);

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

    /// Records outcomes, each by itself: what became of them, in their order, once they are on disk.
    pub async fn record(&self, outcomes: Vec<Recording>) -> Result<Vec<Disposition>, StoreError> {
        if outcomes.is_empty() {
            return Ok(Vec::new());
        }
        match self.writer.submit(Command::Record(outcomes)).await? {
            Ok(Answer::Recorded(dispositions)) => Ok(dispositions),
            Ok(Answer::Done) | Err(Stale) => Err(misanswered()),
        }
    }

    /// How far the log `flags` was applied.
    pub async fn flags_cursor(&self) -> Result<Option<Cursor>, StoreError> {
        self.cursor(FLAGS).await
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

    /// Applies events of the log `flags`. With `anew`, what an earlier history of the log said is
    /// forgotten first.
    pub async fn apply_flags(
        &self,
        step: Step,
        anew: bool,
        changes: Vec<FlagChange>,
    ) -> Result<Result<(), Stale>, StoreError> {
        let command = Command::Flags {
            step,
            anew,
            changes,
        };
        self.step(command).await
    }

    /// Applies events of the log `devices`.
    pub async fn apply_meters(
        &self,
        step: Step,
        changes: Vec<MeterChange>,
    ) -> Result<Result<(), Stale>, StoreError> {
        self.step(Command::Meters { step, changes }).await
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
            Err(Stale) => Ok(Err(Stale)),
            Ok(Answer::Recorded(_)) => Err(misanswered()),
        }
    }

    async fn done(&self, command: Command) -> Result<(), StoreError> {
        self.step(command).await?.map_err(|Stale| misanswered())
    }

    /// The figures of a month.
    pub async fn figures(&self, query: &FiguresQuery) -> Result<MonthFigures, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let figures = figures::read(&mut snapshot, query).await?;
        let basis = basis(&mut snapshot).await?;
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
        let basis = basis(&mut snapshot).await?;
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
        let basis = basis(&mut snapshot).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        Ok(ObligationsPage { rows, more, basis })
    }
}

async fn basis(conn: &mut Conn) -> Result<Basis, StoreError> {
    let flags = cursor::get(conn, FLAGS).await?;
    let devices = cursor::get(conn, DEVICES).await?;
    let outcomes = query_scalar("SELECT outcomes FROM outcome_total WHERE id = 1")
        .fetch_one(conn)
        .await?;
    Ok(Basis {
        flags: flags.map(|cursor| cursor.position),
        devices: devices.map(|cursor| cursor.position),
        outcomes: count("outcome_total", outcomes)?,
    })
}

/// A number of things, as a database holds it.
fn count(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::inconsistent(table, "a count is negative"))
}

fn misanswered() -> StoreError {
    StoreError::inconsistent("the batch", "a command got another one's answer")
}
