//! A store, and short ways to say what is put into it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use mesh_api::common::v1::MessageClass;
use mesh_api::registration::v1::{Authority as WireAuthority, SmiStatus};
use mesh_authz::{Authority, DevicePermit, Directory, Identity, InternalRole};
use mesh_store::conformance::Database;
use mesh_store::cursor::Cursor;
use mesh_store::{StoreError, WriterTask};
use mesh_types::{DeviceId, Epoch, Eui64, ManualClock, PartyId, Position, Timestamp, chain};

use crate::edition::Layers;
use crate::exception::Excepted;
use crate::figures::{Counts, Figures};
use crate::flags::FlagChange;
use crate::movement::{Cause, Holder};
use crate::obligation::{Fuel, Meter, MeterChange, MeterEvent, MeterFacts};
use crate::outcome::{Ending, Origin, Outcome};
use crate::period::{Part, Period, Zone};
use crate::store::{
    Delivery, Disposition, ExceptedKey, ExceptedQuery, FiguresQuery, MonthFigures, Numbered,
    Recording, ReportStore, Stale, Step,
};

/// The first instant of 2026-11.
pub(in crate::store) const NOVEMBER: i64 = 1_793_491_200_000_000;
pub(in crate::store) const HOUR: i64 = 3_600_000_000;

/// A store under test.
pub(in crate::store) struct World {
    pub(in crate::store) store: ReportStore,
    writer: WriterTask,
    clock: Arc<ManualClock>,
}

impl World {
    pub(in crate::store) async fn open(database: &Database) -> Result<Self, StoreError> {
        let clock = Arc::new(ManualClock::new(hour(1_000)));
        let (store, writer) = ReportStore::open(&database.with_leave(), clock.clone()).await?;
        Ok(Self {
            store,
            writer,
            clock,
        })
    }

    /// So many microseconds pass.
    pub(in crate::store) fn later(&self, micros: u64) {
        self.clock.advance(Duration::from_micros(micros));
    }

    pub(in crate::store) async fn close(self) {
        self.writer.shutdown().await;
        self.store.close().await;
    }

    /// Applies flag events as the next ones of the log.
    pub(in crate::store) async fn flags(
        &self,
        changes: &[FlagChange],
    ) -> Result<Result<u64, Stale>, StoreError> {
        let from = self.store.flags_cursor().await?;
        let sequence = from.as_ref().map_or(0, |cursor| cursor.position.sequence);
        let to = cursor("flags", 1, sequence + changes.len() as u64);
        let step = Step { from, to };
        self.store.apply_flags(step, false, changes.to_vec()).await
    }

    pub(in crate::store) async fn record(
        &self,
        outcomes: impl IntoIterator<Item = Recording>,
    ) -> Result<Vec<Disposition>, StoreError> {
        let taken = self.store.record(delivery("dsp", 0, outcomes)).await?;
        Ok(taken.expect("no number").dispositions)
    }

    /// Settles what is older than `until`.
    pub(in crate::store) async fn settle(&self, until: Timestamp) -> Result<(), StoreError> {
        match self.store.flags_cursor().await? {
            Some(at) => self.store.settle(&at, until).await,
            None => Ok(()),
        }
    }

    /// The figures of November.
    pub(in crate::store) async fn november(&self) -> Result<MonthFigures, StoreError> {
        self.store.figures(&of_month("2026-11")).await
    }

    /// The Devices with excepted requests, put together from pages of `size`.
    pub(in crate::store) async fn excepted(
        &self,
        query: &ExceptedQuery,
        size: usize,
    ) -> Result<Vec<(ExceptedKey, Excepted)>, StoreError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.excepted(query, after.as_ref(), size).await?;
            assert!(page.rows.len() <= size, "{query:?}");
            assert!(!page.more || page.rows.len() == size, "{query:?}");
            rows.extend(page.rows);
            if !page.more {
                return Ok(rows);
            }
            after = rows.last().map(|(key, _)| key.clone());
        }
    }
}

/// The sums of a month.
pub(in crate::store) fn totals(month: &MonthFigures) -> Figures {
    let mut totals = Figures::default();
    month
        .figures
        .values()
        .for_each(|figures| totals += *figures);
    totals
}

pub(in crate::store) fn of_month(month: &str) -> FiguresQuery {
    FiguresQuery {
        period: utc(month),
        party: None,
        variant: None,
        layers: Layers::All,
    }
}

pub(in crate::store) fn utc(month: &str) -> Period {
    Period {
        month: month.parse().expect("a month"),
        zone: Zone::Utc,
    }
}

/// All that is excepted in a month.
pub(in crate::store) fn excepted_of(month: &str) -> ExceptedQuery {
    ExceptedQuery {
        period: utc(month),
        party: None,
        delivered_only: false,
        layers: Layers::All,
    }
}

/// So many hours after the beginning of November.
pub(in crate::store) const fn hour(hours: i64) -> Timestamp {
    Timestamp::from_micros(NOVEMBER + hours * HOUR)
}

pub(in crate::store) fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

pub(in crate::store) fn party(name: &str) -> PartyId {
    name.parse().expect("a supplier's name")
}

pub(in crate::store) fn cursor(log: &str, epoch: u64, sequence: u64) -> Cursor {
    let log = log.parse().expect("a log's name");
    let epoch = Epoch::new(epoch).expect("an epoch");
    Cursor {
        hash: chain::genesis(&log, epoch),
        position: Position {
            log,
            epoch,
            sequence,
        },
    }
}

/// At `at` the flag of `source` is set and reduces these Devices; none if it is lifted.
pub(in crate::store) fn flag(source: u64, at: Timestamp, reduced: &[u64]) -> FlagChange {
    FlagChange {
        source: device(source),
        at,
        reduced: reduced.iter().copied().map(device).collect(),
        holder: Holder::default(),
        cause: Cause::Other,
    }
}

/// Outcomes of a producer, in the batch of this number; 0 if it has none.
pub(in crate::store) fn delivery(
    producer: &str,
    number: u64,
    outcomes: impl IntoIterator<Item = Recording>,
) -> Delivery {
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    Delivery {
        producer: producer.parse().expect("a producer"),
        numbered: NonZeroU64::new(number).map(|number| Numbered {
            number,
            content: outcomes
                .iter()
                .map(|one| format!("{:?}", one.outcome))
                .collect(),
        }),
        outcomes,
    }
}

/// A successful read on demand for the supplier ONE, to be changed where another one is meant.
pub(in crate::store) fn read(id: &str, number: u64, at: Timestamp) -> Recording {
    Recording {
        permit: permit(number),
        outcome: Outcome {
            id: id.parse().expect("an id"),
            party: party("ONE"),
            variant: "4.8.1".parse().expect("a variant"),
            class: MessageClass::Consumption,
            request_time: at,
            part: Part::of(at).expect("a part"),
            ending: Ending::Succeeded,
            origin: Origin::OnDemand,
        },
    }
}

fn permit(number: u64) -> DevicePermit {
    let directory = Directory::not_loaded();
    let caller = directory.resolve(Identity::Internal(InternalRole::Dsp), None);
    let facts = WireAuthority {
        device_id: device(number).to_string(),
        ..WireAuthority::default()
    };
    let position = mesh_api::common::v1::Position {
        log: "devices".into(),
        epoch: 1,
        sequence: 0,
    };
    let authority = Authority::from_wire(facts, &position).expect("an authority");
    DevicePermit::unchecked(caller.expect("a caller"), "RecordOutcomes", authority)
}

/// A commissioned SMETS2 meter.
pub(in crate::store) fn meter(number: u64, fuel: Fuel, supplier: &str) -> Meter {
    Meter {
        device: device(number),
        facts: MeterFacts {
            fuel,
            smets_major: 2,
            smi_status: SmiStatus::Commissioned.into(),
        },
        supplier: supplier.parse().ok(),
    }
}

/// Events that were recorded when November began.
pub(in crate::store) fn events(changes: &[MeterChange]) -> Vec<MeterEvent> {
    let events = changes.iter().map(|change| MeterEvent {
        at: hour(0),
        change: Some(change.clone()),
    });
    events.collect()
}

/// Figures of requests on demand only.
pub(in crate::store) fn on_demand(counts: Counts) -> Figures {
    Figures {
        on_demand: counts,
        executions: Counts::default(),
    }
}
