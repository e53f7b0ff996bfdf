//! What do followed events change, and how far have they come?
//!
//! Each function moves the cursor first. If it does not stand where the step began, another replica
//! has applied the same events, and nothing is written.

use std::collections::BTreeSet;

use mesh_store::cursor::{self, Advance};
use mesh_store::sql::{Conn, QueryBuilder, query};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::{DeviceId, Timestamp};

use super::{DEVICES, FLAGS, Step, flag_counts, meters, month_ends, open};
use crate::flags::{FlagChange, Reduced, fold};
use crate::obligation::{Meter, MeterEvent};

/// Whether a step was made.
pub(super) enum Moved {
    Yes,
    Stale,
}

/// Ends and begins the intervals that `changes` say, and counts them. Says how many of them are older than what was settled.
pub(super) async fn flags(
    conn: &mut Conn,
    step: &Step,
    anew: bool,
    changes: &[FlagChange],
) -> Result<Option<u64>, StoreError> {
    // A process of an earlier version may have applied events meanwhile that nobody has counted.
    let counted = flag_counts::counted(conn).await?;
    if !anew && !flag_counts::is_at(counted.as_ref(), step.from.as_ref()) {
        return Ok(None);
    }
    if let Moved::Stale = advance(conn, FLAGS, step).await? {
        return Ok(None);
    }
    if let Advance::Stale = flag_counts::count(conn, step, anew, changes).await? {
        return Err(StoreError::inconsistent(
            "cursor",
            "a cursor moved while this transaction held the lock",
        ));
    }
    let settled_until = open::settled_until(conn).await?;
    if anew {
        query("DELETE FROM flag_interval")
            .execute(&mut *conn)
            .await?;
        open::unsettle(conn).await?;
    }
    let sources: BTreeSet<DeviceId> = changes.iter().map(|change| change.source).collect();
    let sources: Vec<DeviceId> = sources.into_iter().collect();
    let open = open_intervals(conn, &sources).await?;
    insert_rows(
        conn,
        "INSERT INTO flag_interval (device_id, start_time, source_id, end_time)",
        &fold(&open, changes),
        4,
        "ON CONFLICT (device_id, start_time, source_id) DO UPDATE SET end_time = excluded.end_time",
        |mut row, interval| {
            row.push_bind(interval.device.to_string())
                .push_bind(interval.start.micros())
                .push_bind(interval.source.to_string())
                .push_bind(interval.end.micros());
        },
    )
    .await?;
    // Of another history all is old.
    let late = changes
        .iter()
        .filter(|change| !anew && change.at < settled_until);
    Ok(Some(late.count() as u64))
}

async fn open_intervals(conn: &mut Conn, sources: &[DeviceId]) -> Result<Vec<Reduced>, StoreError> {
    let mut open = Vec::new();
    for chunk in sources.chunks(MAX_BINDS - 1) {
        let mut query = QueryBuilder::new(
            "SELECT device_id, start_time, source_id FROM flag_interval WHERE end_time = ",
        );
        query.push_bind(Timestamp::FOREVER.micros());
        query.push(" AND source_id ");
        query.push_in(chunk.iter().map(ToString::to_string));
        let rows: Vec<(String, i64, String)> = query.build_query_as().fetch_all(&mut *conn).await?;
        for (device, start, source) in rows {
            open.push(Reduced {
                device: device_from_db(&device)?,
                start: Timestamp::from_micros(start),
                source: device_from_db(&source)?,
                end: Timestamp::FOREVER,
            });
        }
    }
    Ok(open)
}

fn device_from_db(text: &str) -> Result<DeviceId, StoreError> {
    let malformed = |_| StoreError::inconsistent("flag_interval", "a Device's id is malformed");
    text.parse().map_err(malformed)
}

/// Applies events of the log `devices`.
pub(super) async fn meters(
    conn: &mut Conn,
    step: &Step,
    events: &[MeterEvent],
) -> Result<Moved, StoreError> {
    if let Moved::Stale = advance(conn, DEVICES, step).await? {
        return Ok(Moved::Stale);
    }
    month_ends::apply(conn, step, events).await?;
    Ok(Moved::Yes)
}

/// Forgets what has arrived for `loader`.
pub(super) async fn drop_arrived(conn: &mut Conn, loader: i64) -> Result<Moved, StoreError> {
    query("DELETE FROM meter_arriving WHERE loader = $1")
        .bind(loader)
        .execute(conn)
        .await?;
    Ok(Moved::Yes)
}

/// Keeps a part of a snapshot aside.
pub(super) async fn arrive(
    conn: &mut Conn,
    loader: i64,
    meters: &[Meter],
) -> Result<Moved, StoreError> {
    insert_rows(
        conn,
        "INSERT INTO meter_arriving \
         (loader, device_id, device_type, smets_major, smi_status, party_id)",
        meters,
        1 + meters::COLUMNS,
        "",
        |mut row, meter| {
            row.push_bind(loader);
            meters::bind(row, meter);
        },
    )
    .await?;
    Ok(Moved::Yes)
}

/// Puts what has arrived for `loader` in the place of what was known. What others left behind when
/// they ended is cleared; one that is still loading finds its step stale.
pub(super) async fn load_arrived(
    conn: &mut Conn,
    loader: i64,
    step: &Step,
) -> Result<Moved, StoreError> {
    if let Moved::Stale = advance(conn, DEVICES, step).await? {
        return Ok(Moved::Stale);
    }
    month_ends::forget(conn).await?;
    query("DELETE FROM meter").execute(&mut *conn).await?;
    query(
        "INSERT INTO meter (device_id, device_type, smets_major, smi_status, party_id) \
         SELECT device_id, device_type, smets_major, smi_status, party_id \
         FROM meter_arriving WHERE loader = $1",
    )
    .bind(loader)
    .execute(&mut *conn)
    .await?;
    query("DELETE FROM meter_arriving").execute(conn).await?;
    Ok(Moved::Yes)
}

async fn advance(conn: &mut Conn, follower: &str, step: &Step) -> Result<Moved, StoreError> {
    Ok(
        match cursor::advance(conn, follower, step.from.as_ref(), &step.to).await? {
            Advance::Moved => Moved::Yes,
            Advance::Stale => Moved::Stale,
        },
    )
}
