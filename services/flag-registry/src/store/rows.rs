//! How does an entry look as a row?

use mesh_api::flag_registry::v1::{Cause, ReviewReason};
use mesh_store::sql::{QueryBuilder, Question, Row};
use mesh_store::{CURRENT, MAX_BINDS, StoreError, WriteTx, sequence_from_db, sequence_to_db};
use mesh_types::{DeviceId, Epoch, LogName, Position, Timestamp};

use super::spent;
use crate::flag::{Entry, Meter, Standing};

pub(super) const TABLE: &str = "flag_entry";

/// The log whose positions entries rest on.
const DEVICES: &str = "devices";

/// Every column but `to_sequence`, in the order of [`EntryRow`].
pub(super) const SELECT: &str = "SELECT device, from_sequence, meter, flagged, covered, hub, csp, \
     supplier, responsible_since, since, cause, state_sequence, chosen, lifts, repeats, reviews, \
     registration_epoch, registration_sequence FROM flag_entry ";

const COLUMNS: usize = 19;

#[derive(Debug, sqlx::FromRow)]
pub(super) struct EntryRow {
    pub(super) device: String,
    pub(super) from_sequence: i64,
    meter: String,
    flagged: bool,
    covered: String,
    hub: String,
    csp: String,
    supplier: String,
    responsible_since: i64,
    since: i64,
    cause: i64,
    state_sequence: i64,
    chosen: i64,
    lifts: String,
    repeats: String,
    reviews: String,
    registration_epoch: i64,
    registration_sequence: i64,
}

/// A version of an entry, and the first sequence at which it no longer holds.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) entry: Entry,
    pub(super) to: i64,
}

impl EntryRow {
    pub(super) fn read(self) -> Result<Entry, StoreError> {
        let epoch = u64::try_from(self.registration_epoch).ok();
        Ok(Entry {
            device: parse(&self.device)?,
            meter: match self.meter.as_str() {
                "ESME" => Meter::Esme,
                "GSME" => Meter::Gsme,
                _ => return Err(malformed()),
            },
            standing: Standing {
                flagged: self.flagged,
                covered: list(&self.covered, |id| id.parse().ok())?,
                hub: optional(&self.hub)?,
                csp: optional(&self.csp)?,
                supplier: optional(&self.supplier)?,
            },
            responsible_since: Timestamp::from_micros(self.responsible_since),
            since: Timestamp::from_micros(self.since),
            cause: number(self.cause)?,
            state_sequence: sequence_from_db(TABLE, self.state_sequence)?,
            chosen: Timestamp::from_micros(self.chosen),
            last_sequence: sequence_from_db(TABLE, self.from_sequence)?,
            spent: spent::read(&self.lifts, &self.repeats, TABLE)?,
            reviews: list(&self.reviews, |text| {
                ReviewReason::try_from(text.parse::<i32>().ok()?).ok()
            })?,
            rests_on: Position {
                log: devices_log()?,
                epoch: epoch.and_then(Epoch::new).ok_or_else(malformed)?,
                sequence: sequence_from_db(TABLE, self.registration_sequence)?,
            },
        })
    }
}

/// Adds versions, and closes those that are already there.
pub(super) fn write(tx: &mut WriteTx, versions: &[Version]) {
    tx.insert_rows(
        "INSERT INTO flag_entry (device, from_sequence, to_sequence, meter, flagged, covered, hub, \
         csp, supplier, responsible_since, since, cause, state_sequence, chosen, \
         lifts, repeats, reviews, registration_epoch, registration_sequence)",
        versions,
        COLUMNS,
        "ON CONFLICT (device, from_sequence) DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut row, Version { entry, to }| {
            let standing = &entry.standing;
            row.push_bind(entry.device.to_string())
                .push_bind(sequence_to_db(entry.last_sequence))
                .push_bind(*to)
                .push_bind(match entry.meter {
                    Meter::Esme => "ESME",
                    Meter::Gsme => "GSME",
                })
                .push_bind(standing.flagged)
                .push_bind(join(&standing.covered))
                .push_bind(text(standing.hub.as_ref()))
                .push_bind(text(standing.csp.as_ref()))
                .push_bind(text(standing.supplier.as_ref()))
                .push_bind(entry.responsible_since.micros())
                .push_bind(entry.since.micros())
                .push_bind(i64::from(i32::from(entry.cause)))
                .push_bind(sequence_to_db(entry.state_sequence))
                .push_bind(entry.chosen.micros())
                .push_bind(entry.spent.lifts.to_string())
                .push_bind(entry.spent.repeats.to_string())
                .push_bind(join(entry.reviews.iter().map(|&reason| i32::from(reason))))
                .push_bind(sequence_to_db(entry.rests_on.epoch.get()))
                .push_bind(sequence_to_db(entry.rests_on.sequence));
        },
    );
}

/// Which entries hold at `at` (the present ones for [`CURRENT`] − 1) of those of `devices` that have one, in no
/// particular order.
pub(super) fn of_devices(devices: &[DeviceId], at: i64) -> Question<Vec<Entry>> {
    Question::new(holding_at(devices, at), |rows| entries(&rows))
}

/// Which are the present entries of `devices`, of those whose flag covers one of `covered` besides, and of those on
/// `hubs`. A meter covers at most one other Device, its GPF, so that the column holds that Device and nothing
/// else.
pub(super) fn present(
    devices: &[DeviceId],
    covered: &[DeviceId],
    hubs: &[DeviceId],
) -> Question<Vec<Entry>> {
    let statements = holding_at(devices, CURRENT - 1)
        .chain(standing("covered", covered))
        .chain(standing("hub", hubs));
    Question::new(statements, |rows| entries(&rows))
}

fn holding_at(devices: &[DeviceId], at: i64) -> impl Iterator<Item = QueryBuilder> {
    devices.chunks(MAX_BINDS - 2).map(move |chunk| {
        let mut query = QueryBuilder::new(SELECT);
        query.push("WHERE from_sequence <= ").push_bind(at);
        query.push(" AND to_sequence > ").push_bind(at);
        query.push(" AND device ");
        query.push_in(chunk.iter().map(ToString::to_string));
        query
    })
}

/// Those that stand and have one of `values` in `column`, which is part of an index.
fn standing(column: &'static str, values: &[DeviceId]) -> impl Iterator<Item = QueryBuilder> {
    values.chunks(MAX_BINDS - 1).map(move |chunk| {
        let mut query = QueryBuilder::new(SELECT);
        query.push("WHERE to_sequence = ").push_bind(CURRENT);
        query.push(" AND ").push(column).push(" ");
        query.push_in(chunk.iter().map(ToString::to_string));
        query
    })
}

fn entries(rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    let rows = rows.iter().map(|row| row.read::<EntryRow>()?.read());
    rows.collect()
}

/// The log that entries rest on.
pub(super) fn devices_log() -> Result<LogName, StoreError> {
    DEVICES.parse().map_err(|_| malformed())
}

fn malformed() -> StoreError {
    StoreError::inconsistent(TABLE, "a row is malformed")
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| malformed())
}

pub(super) fn optional<T: std::str::FromStr>(text: &str) -> Result<Option<T>, StoreError> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, StoreError> {
    text.split_ascii_whitespace()
        .map(|item| read(item).ok_or_else(malformed))
        .collect()
}

fn number(value: i64) -> Result<Cause, StoreError> {
    let value = i32::try_from(value).map_err(|_| malformed())?;
    Cause::try_from(value).map_err(|_| malformed())
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(" ")
}
