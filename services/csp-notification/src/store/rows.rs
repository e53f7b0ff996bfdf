//! What stands in the service's tables, read and written.

use std::collections::{BTreeSet, HashMap};

use mesh_store::sql::{Conn, QueryBuilder, query_as, query_scalar};
use mesh_store::{
    CURRENT, MAX_BINDS, ReplicaId, StoreError, WriteTx, sequence_from_db, sequence_to_db,
};
use mesh_types::{CspId, DeviceId, Epoch, Position, Sequence, Timestamp};

use crate::project::Reduced;
use crate::subscription::StreamNumber;

pub(super) const SUBSCRIPTION: &str = "subscription";
pub(super) const REDUCED: &str = "reduced_device";
pub(super) const RESYNC: &str = "resync";

/// A row of `subscription`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubscriptionRow {
    pub(super) csp: CspId,
    pub(super) sent: Sequence,
    pub(super) acknowledged: Sequence,
    pub(super) acknowledged_time: Option<Timestamp>,
    pub(super) applied_time: Option<Timestamp>,
    /// The number of the stream that is the CSP's own.
    pub(super) stream: StreamNumber,
    /// Who serves it, until it ends.
    pub(super) attached_by: Option<ReplicaId>,
}

impl SubscriptionRow {
    /// Nothing sent, nothing acknowledged, no stream.
    pub(super) const fn new(csp: CspId) -> Self {
        Self {
            csp,
            sent: 0,
            acknowledged: 0,
            acknowledged_time: None,
            applied_time: None,
            stream: 0,
            attached_by: None,
        }
    }
}

/// A row of `reduced_device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReducedRow {
    pub(super) csp: CspId,
    pub(super) device: DeviceId,
    /// What is known from event `known.sequence` of the CSP's log on.
    pub(super) known: Reduced,
    /// The event that ended it; `None` while it holds.
    pub(super) until: Option<Sequence>,
}

/// A row of `resync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResyncRow {
    pub(super) csp: CspId,
    /// Counts the CSP's from 1.
    pub(super) number: u64,
    /// The event of the CSP's log after which the corrections stand.
    pub(super) after: Sequence,
    /// How many there are.
    pub(super) differences: u64,
    /// The snapshot of `flags` that they rest on.
    pub(super) flags: Position,
    pub(super) recorded_time: Timestamp,
}

type SubscriptionColumns = (String, i64, i64, Option<i64>, Option<i64>, i64, Option<i64>);
type ResyncColumns = (i64, i64, i64, String, i64, i64, i64);
pub(super) type ReducedColumns = (String, String, i64, i64, i64, String, String, i64);

pub(super) async fn subscription(
    conn: &mut Conn,
    csp: &CspId,
) -> Result<Option<SubscriptionRow>, StoreError> {
    let columns: Option<SubscriptionColumns> = query_as(
        "SELECT csp, sent, acknowledged, acknowledged_time, applied_time, stream, attached_by \
         FROM subscription \
         WHERE csp = $1",
    )
    .bind(csp.as_str())
    .fetch_optional(conn)
    .await?;
    columns.map(subscription_from_db).transpose()
}

pub(super) async fn subscriptions(
    conn: &mut Conn,
    after: &str,
    limit: u32,
) -> Result<Vec<SubscriptionRow>, StoreError> {
    let columns: Vec<SubscriptionColumns> = query_as(
        "SELECT csp, sent, acknowledged, acknowledged_time, applied_time, stream, attached_by \
         FROM subscription \
         WHERE csp > $1 ORDER BY csp LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    columns.into_iter().map(subscription_from_db).collect()
}

/// The number of the stream that is each CSP's own.
pub(super) async fn streams(conn: &mut Conn) -> Result<HashMap<CspId, StreamNumber>, StoreError> {
    let rows: Vec<(String, i64)> = query_as("SELECT csp, stream FROM subscription")
        .fetch_all(conn)
        .await?;
    let read = |(csp, stream): (String, i64)| {
        let number = sequence_from_db(SUBSCRIPTION, stream)?;
        Ok((parsed(SUBSCRIPTION, &csp)?, number))
    };
    rows.into_iter().map(read).collect()
}

/// Every CSP that has a subscription.
pub(super) async fn subscribed(conn: &mut Conn) -> Result<Vec<CspId>, StoreError> {
    let names: Vec<String> = query_scalar("SELECT csp FROM subscription")
        .fetch_all(conn)
        .await?;
    let csps = names.iter().map(|name| parsed(SUBSCRIPTION, name));
    csps.collect()
}

/// Every CSP that has a row, whichever.
pub(super) async fn everybody(conn: &mut Conn) -> Result<BTreeSet<CspId>, StoreError> {
    let names: Vec<String> = query_scalar(
        "SELECT csp FROM subscription UNION SELECT csp FROM reduced_device \
         UNION SELECT csp FROM resync UNION SELECT csp FROM delivery_count",
    )
    .fetch_all(conn)
    .await?;
    let csps = names.iter().map(|name| parsed(SUBSCRIPTION, name));
    csps.collect()
}

/// Writes subscriptions as they are now.
pub(super) fn put_subscriptions(tx: &mut WriteTx, rows: &[&SubscriptionRow]) {
    tx.insert_rows(
        "INSERT INTO subscription \
         (csp, sent, acknowledged, acknowledged_time, applied_time, stream, attached_by)",
        rows,
        7,
        "ON CONFLICT (csp) DO UPDATE SET sent = excluded.sent, \
         acknowledged = excluded.acknowledged, \
         acknowledged_time = excluded.acknowledged_time, applied_time = excluded.applied_time, \
         stream = excluded.stream, attached_by = excluded.attached_by",
        |mut columns, row| {
            columns
                .push_bind(row.csp.as_str())
                .push_bind(sequence_to_db(row.sent))
                .push_bind(sequence_to_db(row.acknowledged))
                .push_bind(row.acknowledged_time.map(Timestamp::micros))
                .push_bind(row.applied_time.map(Timestamp::micros))
                .push_bind(sequence_to_db(row.stream))
                .push_bind(row.attached_by.map(ReplicaId::to_db));
        },
    );
}

/// The rows about `devices` that hold now, whichever CSP's.
pub(super) async fn reduced_now(
    conn: &mut Conn,
    csps: &[&CspId],
    devices: &[DeviceId],
) -> Result<Vec<ReducedRow>, StoreError> {
    let mut found = Vec::new();
    let room = MAX_BINDS.saturating_sub(csps.len() + 1).max(1);
    for devices in devices.chunks(room) {
        let mut query = QueryBuilder::new(
            "SELECT csp, device, from_sequence, to_sequence, device_type, covered, hub, since_time \
             FROM reduced_device WHERE to_sequence = ",
        );
        query.push_bind(CURRENT).push(" AND csp ");
        query.push_in(csps.iter().map(|csp| csp.as_str()));
        query.push(" AND device ");
        query.push_in(devices.iter().map(ToString::to_string));
        let rows: Vec<ReducedColumns> = query.build_query_as().fetch_all(&mut *conn).await?;
        for columns in rows {
            found.push(reduced_from_db(columns)?);
        }
    }
    Ok(found)
}

/// A CSP's rows that hold at event `at` of its log, about Devices after `after`, in their order.
pub(super) async fn reduced_at(
    conn: &mut Conn,
    csp: &CspId,
    at: Sequence,
    after: &str,
    limit: i64,
) -> Result<Vec<ReducedRow>, StoreError> {
    let columns: Vec<ReducedColumns> = query_as(
        "SELECT csp, device, from_sequence, to_sequence, device_type, covered, hub, since_time \
         FROM reduced_device \
         WHERE csp = $1 AND device > $2 AND from_sequence <= $3 AND $3 < to_sequence \
         ORDER BY device LIMIT $4",
    )
    .bind(csp.as_str())
    .bind(after)
    .bind(sequence_to_db(at))
    .bind(limit)
    .fetch_all(conn)
    .await?;
    columns.into_iter().map(reduced_from_db).collect()
}

/// The Devices and beginnings of those rows of a CSP that hold before and after an event about their
/// Device, which would have ended them.
pub(super) async fn that_go_on_across(
    conn: &mut Conn,
    csp: &CspId,
    events: &[(DeviceId, Sequence)],
) -> Result<Vec<(String, Sequence)>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::new("WITH event (device, sequence) AS (");
    query.push_values(events, |mut row, (device, sequence)| {
        row.push_bind(device.to_string())
            .push_bind(sequence_to_db(*sequence));
    });
    query.push(
        ") SELECT DISTINCT r.device, r.from_sequence FROM event CROSS JOIN reduced_device AS r \
         WHERE r.device = event.device AND r.from_sequence < event.sequence \
         AND r.to_sequence > event.sequence AND r.csp = ",
    );
    query.push_bind(csp.as_str());
    let rows: Vec<(String, i64)> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter()
        .map(|(device, from)| Ok((device, sequence_from_db(REDUCED, from)?)))
        .collect()
}

/// Writes new rows, and ends those that were there.
pub(super) fn put_reduced(tx: &mut WriteTx, rows: &[ReducedRow]) {
    tx.insert_rows(
        "INSERT INTO reduced_device \
         (csp, device, from_sequence, to_sequence, device_type, covered, hub, since_time)",
        rows,
        8,
        "ON CONFLICT (csp, device, from_sequence) DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut columns, row| {
            let covered: Vec<_> = row.known.covered.iter().map(ToString::to_string).collect();
            columns
                .push_bind(row.csp.as_str())
                .push_bind(row.device.to_string())
                .push_bind(sequence_to_db(row.known.sequence))
                .push_bind(row.until.map_or(CURRENT, sequence_to_db))
                .push_bind(i64::from(row.known.device_type))
                .push_bind(covered.join(" "))
                .push_bind(row.known.hub.to_string())
                .push_bind(row.known.since.micros());
        },
    );
}

/// The number of a CSP's last resync; 0 if there was none.
pub(super) async fn last_resync(conn: &mut Conn, csp: &CspId) -> Result<u64, StoreError> {
    let number: Option<i64> = query_scalar("SELECT MAX(number) FROM resync WHERE csp = $1")
        .bind(csp.as_str())
        .fetch_one(conn)
        .await?;
    sequence_from_db(RESYNC, number.unwrap_or(0))
}

/// The first resync of a CSP after number `last` whose corrections follow event `at` or a later one.
pub(super) async fn next_resync(
    conn: &mut Conn,
    csp: &CspId,
    at: Sequence,
    last: u64,
) -> Result<Option<ResyncRow>, StoreError> {
    let columns: Option<ResyncColumns> = query_as(
        "SELECT number, after_sequence, differences, flags_log, flags_epoch, flags_sequence, \
         recorded_time FROM resync WHERE csp = $1 AND number > $2 AND after_sequence >= $3 \
         ORDER BY number LIMIT 1",
    )
    .bind(csp.as_str())
    .bind(sequence_to_db(last))
    .bind(sequence_to_db(at))
    .fetch_optional(conn)
    .await?;
    columns
        .map(|columns| resync_from_db(csp, columns))
        .transpose()
}

/// All resyncs of a CSP.
pub(super) async fn resyncs(conn: &mut Conn, csp: &CspId) -> Result<Vec<ResyncRow>, StoreError> {
    let columns: Vec<ResyncColumns> = query_as(
        "SELECT number, after_sequence, differences, flags_log, flags_epoch, flags_sequence, \
         recorded_time FROM resync WHERE csp = $1 ORDER BY number",
    )
    .bind(csp.as_str())
    .fetch_all(conn)
    .await?;
    let read = |columns| resync_from_db(csp, columns);
    columns.into_iter().map(read).collect()
}

fn resync_from_db(csp: &CspId, columns: ResyncColumns) -> Result<ResyncRow, StoreError> {
    let (number, after, differences, log, epoch, sequence, recorded) = columns;
    let read = |number| sequence_from_db(RESYNC, number);
    let epoch = Epoch::new(read(epoch)?);
    let no_epoch = || StoreError::inconsistent(RESYNC, "an epoch is out of range");
    Ok(ResyncRow {
        csp: csp.clone(),
        number: read(number)?,
        after: read(after)?,
        differences: read(differences)?,
        flags: Position {
            log: parsed(RESYNC, &log)?,
            epoch: epoch.ok_or_else(no_epoch)?,
            sequence: read(sequence)?,
        },
        recorded_time: Timestamp::from_micros(recorded),
    })
}

pub(super) fn put_resyncs(tx: &mut WriteTx, rows: &[ResyncRow]) {
    tx.insert_rows(
        "INSERT INTO resync (csp, number, after_sequence, differences, \
         flags_log, flags_epoch, flags_sequence, recorded_time)",
        rows,
        8,
        "",
        |mut columns, row| {
            columns
                .push_bind(row.csp.as_str())
                .push_bind(sequence_to_db(row.number))
                .push_bind(sequence_to_db(row.after))
                .push_bind(sequence_to_db(row.differences))
                .push_bind(row.flags.log.as_str())
                .push_bind(sequence_to_db(row.flags.epoch.get()))
                .push_bind(sequence_to_db(row.flags.sequence))
                .push_bind(row.recorded_time.micros());
        },
    );
}

fn subscription_from_db(columns: SubscriptionColumns) -> Result<SubscriptionRow, StoreError> {
    let (csp, sent, acknowledged, acknowledged_time, applied_time, stream, attached_by) = columns;
    Ok(SubscriptionRow {
        csp: parsed(SUBSCRIPTION, &csp)?,
        sent: sequence_from_db(SUBSCRIPTION, sent)?,
        acknowledged: sequence_from_db(SUBSCRIPTION, acknowledged)?,
        acknowledged_time: acknowledged_time.map(Timestamp::from_micros),
        applied_time: applied_time.map(Timestamp::from_micros),
        stream: sequence_from_db(SUBSCRIPTION, stream)?,
        attached_by: attached_by.map(ReplicaId::from_db),
    })
}

pub(super) fn reduced_from_db(columns: ReducedColumns) -> Result<ReducedRow, StoreError> {
    let (csp, device, from, to, device_type, covered, hub, since) = columns;
    let covered = covered.split_whitespace().map(|id| parsed(REDUCED, id));
    let until = (to != CURRENT).then(|| sequence_from_db(REDUCED, to));
    Ok(ReducedRow {
        csp: parsed(REDUCED, &csp)?,
        device: parsed(REDUCED, &device)?,
        known: Reduced {
            device_type: device_type
                .try_into()
                .map_err(|_| StoreError::inconsistent(REDUCED, "a device type is out of range"))?,
            covered: covered.collect::<Result<_, _>>()?,
            hub: parsed(REDUCED, &hub)?,
            since: Timestamp::from_micros(since),
            sequence: sequence_from_db(REDUCED, from)?,
        },
        until: until.transpose()?,
    })
}

fn parsed<T: std::str::FromStr>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| StoreError::inconsistent(table, "an identifier is malformed"))
}
