//! Which editions of months are there, how is one begun, and what is it made of?
//!
//! Beginning one only gives it a number: what is counted from then on is in later layers, so that the content
//! can be read afterwards, at leisure, and again. It counts as made once its content's hash is there.

use std::collections::BTreeMap;

use mesh_store::cursor;
use mesh_store::sql::{Conn, query, query_as, query_scalar};
use mesh_store::{StoreError, insert_rows};
use mesh_types::{Epoch, LogName, Position, Timestamp};

use super::figures::parts;
use super::{DEVICES, FLAGS, count, layers, open, total};
use crate::business_process::ProcessKey;
use crate::edition::{Edition, Seal};
use crate::outcome::Variant;
use crate::period::{Period, Zone};

const TABLE: &str = "edition";

/// Why no edition is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBegun {
    /// Flag events of the month may still come, or outcomes of it are not settled.
    NotSettled {
        /// Every flag event before this instant is known.
        settled_until: Option<Timestamp>,
    },
    /// It is not the next one.
    NotNext {
        /// The number of the next one.
        next: u32,
    },
    /// Nothing was recorded that the edition before does not have.
    NothingNew,
}

/// An edition to begin.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The month.
    pub period: Period,
    /// 0 is the closed report.
    pub restatement: u32,
    /// Whether an operator asks for it.
    pub by_operator: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    month: String,
    zone: String,
    restatement: i64,
    previous: i64,
    begun_time: i64,
    by_operator: bool,
    flags_epoch: i64,
    flags_sequence: i64,
    devices_epoch: i64,
    devices_sequence: i64,
    outcomes: i64,
    settled_until: i64,
    content_sha256: String,
    program_version: String,
    rules_version: String,
    business_processes_version: String,
}

/// Every edition, in the order of their numbers; those that are not made yet, too.
pub(super) async fn all(conn: &mut Conn) -> Result<Vec<Edition>, StoreError> {
    let rows: Vec<Row> = query_as(
        "SELECT number, month, zone, restatement, previous, begun_time, by_operator, flags_epoch, \
         flags_sequence, devices_epoch, devices_sequence, outcomes, settled_until, content_sha256, \
         program_version, rules_version, business_processes_version FROM edition ORDER BY number",
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Edition::try_from).collect()
}

/// The editions of a month, in their order.
pub(super) async fn of(conn: &mut Conn, period: Period) -> Result<Vec<Edition>, StoreError> {
    let mut editions = all(conn).await?;
    editions.retain(|edition| edition.period == period);
    Ok(editions)
}

/// Begins an edition, with the counts locked. Gives the number of it, and of one that was begun before.
pub(super) async fn begin(
    conn: &mut Conn,
    beginning: &Beginning,
    now: Timestamp,
) -> Result<Result<u64, NotBegun>, StoreError> {
    let Beginning {
        period,
        restatement,
        by_operator,
    } = *beginning;
    let editions = of(conn, period).await?;
    if let Some(known) = editions.iter().find(|one| one.restatement == restatement) {
        return Ok(Ok(known.number));
    }
    let last = editions.last();
    let next = last.map_or(0, |last| last.restatement.saturating_add(1));
    if restatement != next {
        return Ok(Err(NotBegun::NotNext { next }));
    }
    let settled_until = open::settled_until(conn).await?;
    if settled_until < period.interval().end() || open::remain(conn, period.interval()).await? {
        let settled_until = (settled_until > Timestamp::from_micros(0)).then_some(settled_until);
        return Ok(Err(NotBegun::NotSettled { settled_until }));
    }
    let previous = last.map_or(0, |last| last.number);
    if previous > 0 && !is_more_since(conn, period, previous).await? {
        return Ok(Err(NotBegun::NothingNew));
    }
    let number = layers::now(conn).await? + 1;
    let (flags_epoch, flags_sequence) = position(conn, FLAGS).await?;
    let (devices_epoch, devices_sequence) = position(conn, DEVICES).await?;
    let outcomes = total::read(conn).await?;
    query(
        "INSERT INTO edition (number, month, zone, restatement, previous, begun_time, by_operator, \
         flags_epoch, flags_sequence, devices_epoch, devices_sequence, outcomes, settled_until, \
         content_sha256, program_version, rules_version, business_processes_version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '', '', '')",
    )
    .bind(number)
    .bind(period.month.to_string())
    .bind(period.zone.name())
    .bind(i64::from(restatement))
    .bind(previous.cast_signed())
    .bind(now.micros())
    .bind(by_operator)
    .bind(flags_epoch)
    .bind(flags_sequence)
    .bind(devices_epoch)
    .bind(devices_sequence)
    .bind(outcomes.cast_signed())
    .bind(settled_until.micros())
    .execute(conn)
    .await?;
    Ok(Ok(count(TABLE, number)?))
}

async fn position(conn: &mut Conn, follower: &str) -> Result<(i64, i64), StoreError> {
    let cursor = cursor::get(conn, follower).await?;
    Ok(cursor.map_or((0, 0), |cursor| {
        let position = cursor.position;
        let (epoch, sequence) = (position.epoch.get(), position.sequence);
        (epoch.cast_signed(), sequence.cast_signed())
    }))
}

/// Whether the month has outcomes that the edition `number` has not.
async fn is_more_since(conn: &mut Conn, period: Period, number: u64) -> Result<bool, StoreError> {
    Ok(later(conn, period, number).await? > 0)
}

/// How many outcomes of the month the edition `number` has not.
pub(super) async fn later(conn: &mut Conn, period: Period, number: u64) -> Result<u64, StoreError> {
    let [first, second, third] = parts(period);
    let later = query_scalar(
        "SELECT CAST(COALESCE(SUM(outcomes), 0) AS BIGINT) FROM outcome_part \
         WHERE part IN ($1, $2, $3) AND layer >= $4",
    )
    .bind(first)
    .bind(second)
    .bind(third)
    .bind(number.cast_signed())
    .fetch_one(conn)
    .await?;
    count("outcome_part", later)
}

/// Writes what the content of an edition is. Whoever is second finds the same there.
pub(super) async fn seal(
    conn: &mut Conn,
    number: u64,
    seal: &Seal,
    processes: &BTreeMap<Variant, ProcessKey>,
) -> Result<(), StoreError> {
    let sealed = query(
        "UPDATE edition SET content_sha256 = $2, program_version = $3, rules_version = $4, \
         business_processes_version = $5 WHERE number = $1 AND content_sha256 = ''",
    )
    .bind(number.cast_signed())
    .bind(&seal.sha256)
    .bind(&seal.program)
    .bind(&seal.rules)
    .bind(&seal.business_processes)
    .execute(&mut *conn)
    .await?;
    if sealed == 0 {
        return Ok(());
    }
    let processes: Vec<_> = processes.iter().collect();
    insert_rows(
        conn,
        "INSERT INTO edition_process (number, variant, process)",
        &processes,
        3,
        "",
        |mut row, (variant, process)| {
            row.push_bind(number.cast_signed())
                .push_bind(variant.as_str())
                .push_bind(process.as_str());
        },
    )
    .await?;
    Ok(())
}

/// The business process of each variant of an edition.
pub(super) async fn processes(
    conn: &mut Conn,
    number: u64,
) -> Result<BTreeMap<Variant, ProcessKey>, StoreError> {
    let malformed = || StoreError::inconsistent("edition_process", "a row is malformed");
    let rows: Vec<(String, String)> =
        query_as("SELECT variant, process FROM edition_process WHERE number = $1")
            .bind(number.cast_signed())
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|(variant, process)| {
            let variant = variant.parse().map_err(|_| malformed())?;
            Ok((variant, process.parse().map_err(|_| malformed())?))
        })
        .collect()
}

impl TryFrom<Row> for Edition {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let malformed = || StoreError::inconsistent(TABLE, "a row is malformed");
        let zone = Zone::ALL.into_iter().find(|zone| zone.name() == row.zone);
        let period = Period {
            month: row.month.parse().map_err(|_| malformed())?,
            zone: zone.ok_or_else(malformed)?,
        };
        Ok(Self {
            number: count(TABLE, row.number)?,
            period,
            restatement: u32::try_from(row.restatement).map_err(|_| malformed())?,
            previous: count(TABLE, row.previous)?,
            begun: Timestamp::from_micros(row.begun_time),
            by_operator: row.by_operator,
            flags: position_from_db(FLAGS, row.flags_epoch, row.flags_sequence)?,
            devices: position_from_db(DEVICES, row.devices_epoch, row.devices_sequence)?,
            outcomes: count(TABLE, row.outcomes)?,
            settled_until: Timestamp::from_micros(row.settled_until),
            sealed: Seal {
                sha256: row.content_sha256,
                program: row.program_version,
                rules: row.rules_version,
                business_processes: row.business_processes_version,
            },
        })
    }
}

fn position_from_db(
    log: &'static str,
    epoch: i64,
    sequence: i64,
) -> Result<Option<Position>, StoreError> {
    if epoch == 0 {
        return Ok(None);
    }
    let malformed = || StoreError::inconsistent(TABLE, "a position is malformed");
    let log: LogName = log.parse().map_err(|_| malformed())?;
    Ok(Some(Position {
        log,
        epoch: Epoch::new(count(TABLE, epoch)?).ok_or_else(malformed)?,
        sequence: count(TABLE, sequence)?,
    }))
}
