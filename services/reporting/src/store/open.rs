//! When is it settled whether an outcome is excepted?
//!
//! As long as flag events may come that are as old as its request, it is kept as a row, and each report
//! decides anew. Once the owner of the log `flags` has said that there are none, the exception is counted
//! for good and the row goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_store::cursor::{self, Cursor};
use mesh_store::sql::{Conn, QueryBuilder, query, query_as, query_scalar};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::{DeviceId, Interval, Timestamp};

use super::{FLAGS, count, layers};
use crate::period::{Hour, Part};

const OPEN: &str = "outcome_open";

/// How many rows one transaction settles: other writers wait for it.
const ROWS: i64 = 5_000;
/// How many ids one transaction forgets.
const FORGOTTEN: i64 = 10_000;
/// For how long an outcome is recognised that comes again without a number of its batch, from when it was
/// recorded: a month and some days.
const RECOGNISED: i64 = 35 * 24 * 3_600_000_000;

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing is left to do.
    All,
    /// There are more rows.
    Some,
}

/// Outcomes of a kind about a Device at an instant, which can be excepted.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) device: DeviceId,
    pub(super) request_time: Timestamp,
    /// The number of the kind.
    pub(super) kind: i64,
    pub(super) outcomes: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    device_id: String,
    request_time: i64,
    kind: i64,
    outcomes: i64,
    excepted: bool,
}

/// Takes outcomes that have just come: those that are old enough are judged, the others kept.
pub(super) async fn take(
    conn: &mut Conn,
    outcomes: Vec<Open>,
    layer: i64,
) -> Result<(), StoreError> {
    let until = settled_until(conn).await?;
    let (old, open): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|one| one.request_time < until);
    if !old.is_empty() {
        let reduced = reduced(conn, &old).await?;
        let excepted = old.into_iter().filter(|one| {
            let of_device = reduced.get(&one.device);
            of_device.is_some_and(|all| all.iter().any(|flag| flag.contains(one.request_time)))
        });
        except(conn, excepted, layer).await?;
    }
    insert_rows(
        conn,
        "INSERT INTO outcome_open (device_id, request_time, kind, outcomes)",
        &open,
        4,
        "ON CONFLICT (device_id, request_time, kind) \
         DO UPDATE SET outcomes = outcome_open.outcomes + excluded.outcomes",
        |mut row, one| {
            row.push_bind(one.device.to_string())
                .push_bind(one.request_time.micros())
                .push_bind(one.kind)
                .push_bind(one.outcomes);
        },
    )
    .await?;
    Ok(())
}

/// When communications with the Devices of these outcomes were reduced.
async fn reduced(
    conn: &mut Conn,
    outcomes: &[Open],
) -> Result<HashMap<DeviceId, Vec<Interval>>, StoreError> {
    let malformed = || StoreError::inconsistent("flag_interval", "an interval is malformed");
    let devices: BTreeSet<DeviceId> = outcomes.iter().map(|one| one.device).collect();
    let devices: Vec<DeviceId> = devices.into_iter().collect();
    let mut reduced: HashMap<DeviceId, Vec<Interval>> = HashMap::new();
    for chunk in devices.chunks(MAX_BINDS) {
        let mut query = QueryBuilder::new(
            "SELECT device_id, start_time, end_time FROM flag_interval WHERE device_id ",
        );
        query.push_in(chunk.iter().map(ToString::to_string));
        let rows: Vec<(String, i64, i64)> = query.build_query_as().fetch_all(&mut *conn).await?;
        for (device, start, end) in rows {
            let device = device.parse().map_err(|_| malformed())?;
            let (start, end) = (Timestamp::from_micros(start), Timestamp::from_micros(end));
            // One that ended when it began holds nothing.
            if start < end {
                let interval = Interval::new(start, Some(end)).map_err(|_| malformed())?;
                reduced.entry(device).or_default().push(interval);
            }
        }
    }
    Ok(reduced)
}

/// The rows that are old enough, each with whether its Device was flagged at that time.
const JUDGED: &str = "\
    SELECT o.device_id, o.request_time, o.kind, o.outcomes, \
        EXISTS (SELECT 1 FROM flag_interval f WHERE f.device_id = o.device_id \
            AND f.start_time <= o.request_time AND o.request_time < f.end_time) AS excepted \
    FROM outcome_open o WHERE o.request_time < $1";

/// Settles some outcomes, with the counts locked: every flag event before `until` has been applied if the cursor stands at `at`.
/// Where it does not, another replica is further and does this itself.
pub(super) async fn settle(
    conn: &mut Conn,
    at: &Cursor,
    until: Timestamp,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    // The owner's clock may be ahead of ours, and then it is wrong to believe it.
    let until = until.min(now);
    let stands = cursor::get(conn, FLAGS).await?;
    if stands.is_none_or(|stands| stands.position != at.position) {
        return Ok(Settled::All);
    }
    query("UPDATE outcome_settled SET until_time = $1 WHERE id = 1 AND until_time < $1")
        .bind(until.micros())
        .execute(&mut *conn)
        .await?;
    let forgotten = forget(conn, now).await?;
    let end = end(conn, until).await?;
    let rows: Vec<Row> = query_as(JUDGED).bind(end).fetch_all(&mut *conn).await?;
    if rows.is_empty() {
        return Ok(forgotten);
    }
    let excepted = rows
        .into_iter()
        .filter(|row| row.excepted)
        .map(Open::try_from);
    let excepted: Result<Vec<Open>, StoreError> = excepted.collect();
    let layer = layers::now(conn).await?;
    except(conn, excepted?.into_iter(), layer).await?;
    query("DELETE FROM outcome_open WHERE request_time < $1")
        .bind(end)
        .execute(&mut *conn)
        .await?;
    Ok(Settled::Some)
}

/// Up to where about [`ROWS`] rows are, and at least those of one instant.
async fn end(conn: &mut Conn, until: Timestamp) -> Result<i64, StoreError> {
    let last: Option<i64> = query_scalar(
        "SELECT request_time FROM outcome_open WHERE request_time < $1 \
         ORDER BY request_time LIMIT 1 OFFSET $2",
    )
    .bind(until.micros())
    .bind(ROWS)
    .fetch_optional(conn)
    .await?;
    Ok(last.map_or(until.micros(), |last| last + 1))
}

impl TryFrom<Row> for Open {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let malformed = |_| StoreError::inconsistent(OPEN, "a Device's id is malformed");
        Ok(Self {
            device: row.device_id.parse().map_err(malformed)?,
            request_time: Timestamp::from_micros(row.request_time),
            kind: row.kind,
            outcomes: row.outcomes,
        })
    }
}

/// Counts outcomes as excepted, for good.
async fn except(
    conn: &mut Conn,
    outcomes: impl Iterator<Item = Open>,
    layer: i64,
) -> Result<(), StoreError> {
    let mut hours: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut parts: BTreeMap<(String, i64), i64> = BTreeMap::new();
    let mut devices: BTreeMap<(String, String, i64), i64> = BTreeMap::new();
    for one in outcomes {
        let at = one.request_time;
        let part = Part::of(at)
            .map_err(|_| StoreError::inconsistent(OPEN, "a time is in no month"))?
            .to_string();
        let hour = Hour::of(at).number();
        *hours.entry((hour, one.kind)).or_default() += one.outcomes;
        *parts.entry((part.clone(), one.kind)).or_default() += one.outcomes;
        let device = (part, one.device.to_string(), one.kind);
        *devices.entry(device).or_default() += one.outcomes;
    }
    for ((hour, kind), excepted) in hours {
        query("UPDATE outcome_hour SET excepted = excepted + $1 WHERE hour = $2 AND kind = $3")
            .bind(excepted)
            .bind(hour)
            .bind(kind)
            .execute(&mut *conn)
            .await?;
    }
    let parts: Vec<_> = parts.iter().collect();
    insert_rows(
        conn,
        "INSERT INTO outcome_part (part, kind, layer, outcomes, excepted)",
        &parts,
        5,
        "ON CONFLICT (part, kind, layer) \
         DO UPDATE SET excepted = outcome_part.excepted + excluded.excepted",
        |mut row, ((part, kind), excepted)| {
            row.push_bind(part.as_str())
                .push_bind(*kind)
                .push_bind(layer)
                .push_bind(0_i64)
                .push_bind(**excepted);
        },
    )
    .await?;
    let devices: Vec<_> = devices.iter().collect();
    insert_rows(
        conn,
        "INSERT INTO excepted_device (part, device_id, kind, layer, outcomes)",
        &devices,
        5,
        "ON CONFLICT (part, device_id, kind, layer) \
         DO UPDATE SET outcomes = excepted_device.outcomes + excluded.outcomes",
        |mut row, ((part, device, kind), outcomes)| {
            row.push_bind(part.as_str())
                .push_bind(device.as_str())
                .push_bind(*kind)
                .push_bind(layer)
                .push_bind(**outcomes);
        },
    )
    .await?;
    Ok(())
}

/// Forgets some ids that are too old to be recognised.
async fn forget(conn: &mut Conn, now: Timestamp) -> Result<Settled, StoreError> {
    let forgotten = query(
        "DELETE FROM outcome_seen WHERE (producer, outcome_id) IN (\
            SELECT producer, outcome_id FROM outcome_seen WHERE recorded_time < $1 \
            ORDER BY recorded_time LIMIT $2)",
    )
    .bind(now.micros().saturating_sub(RECOGNISED))
    .bind(FORGOTTEN)
    .execute(conn)
    .await?;
    Ok(if i64::try_from(forgotten) == Ok(FORGOTTEN) {
        Settled::Some
    } else {
        Settled::All
    })
}

/// Takes it back that anything is known: of another history of the log that is true.
pub(super) async fn unsettle(conn: &mut Conn) -> Result<(), StoreError> {
    query("UPDATE outcome_settled SET until_time = 0 WHERE id = 1")
        .execute(conn)
        .await?;
    Ok(())
}

/// Every flag event before this instant has been applied.
pub(super) async fn settled_until(conn: &mut Conn) -> Result<Timestamp, StoreError> {
    let until = query_scalar("SELECT until_time FROM outcome_settled WHERE id = 1")
        .fetch_one(conn)
        .await?;
    Ok(Timestamp::from_micros(until))
}

/// Whether outcomes of `interval` are kept one by one, settled or not.
pub(super) async fn remain(conn: &mut Conn, interval: Interval) -> Result<bool, StoreError> {
    query_scalar(
        "SELECT EXISTS (SELECT 1 FROM outcome_open WHERE request_time >= $1 AND request_time < $2)",
    )
    .bind(interval.start().micros())
    .bind(interval.end().micros())
    .fetch_one(conn)
    .await
}

/// How many outcomes of `interval` a flag event that is still to come may except.
pub(super) async fn within(conn: &mut Conn, interval: Interval) -> Result<u64, StoreError> {
    let until = settled_until(conn).await?;
    let open: i64 = query_scalar(
        "SELECT CAST(COALESCE(SUM(outcomes), 0) AS BIGINT) FROM outcome_open \
         WHERE request_time >= $1 AND request_time < $2",
    )
    .bind(interval.start().max(until).micros())
    .bind(interval.end().micros())
    .fetch_one(conn)
    .await?;
    count(OPEN, open)
}
