//! How promptly changes were taken over, counted and read.
//!
//! `delivery_count` is made of acknowledgements, which are in no event: nothing folds it from the log. How many
//! changes there are in some hours and how many are acknowledged is no count but read from the log, where the events
//! of an hour stand side by side. So the table can lack what an older version acknowledged, and never has more
//! than that.
//!
//! A new history of a CSP's log goes on after the last event that is there, and the counts are in the same
//! database as the events: whatever database is put in place, each event of it that is acknowledged was counted once.

use mesh_durations::{Bucket, Durations};
use mesh_store::log;
use mesh_store::sql::{Conn, query_as};
use mesh_store::{Store, StoreError, WriteTx};
use mesh_types::{CspId, Sequence};

use super::rows::{self, SubscriptionRow};
use crate::promptness::{Acknowledged, Counts, Hour, Hours, Promptness, Stage};
use crate::subscription::log_of;

pub(super) const DELIVERIES: &str = "delivery_count";

/// How many events are looked at at once: a CSP that was away for weeks acknowledges all that it missed in one call.
const PAGE: u32 = 4_096;

/// How promptly a CSP took over the changes of some hours; `None` if it has no subscription.
pub(crate) async fn promptness(
    store: &Store,
    csp: &CspId,
    hours: &Hours,
) -> Result<Option<Promptness>, StoreError> {
    let mut tx = store.snapshot().await?;
    match rows::subscription(&mut tx, csp).await? {
        None => Ok(None),
        Some(row) => of(&mut tx, row, hours).await.map(Some),
    }
}

/// The same of the CSPs with names after `after`, in the order of their names.
pub(crate) async fn promptness_after(
    store: &Store,
    after: &str,
    limit: u32,
    hours: &Hours,
) -> Result<Vec<Promptness>, StoreError> {
    let mut tx = store.snapshot().await?;
    let rows = rows::subscriptions(&mut tx, after, limit).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push(of(&mut tx, row, hours).await?);
    }
    Ok(all)
}

async fn of(
    conn: &mut Conn,
    SubscriptionRow {
        csp, acknowledged, ..
    }: SubscriptionRow,
    hours: &Hours,
) -> Result<Promptness, StoreError> {
    let log = log_of(&csp);
    let [before, last] = hours.eves();
    // Times never go back along a log, so the changes of some hours are those between two events.
    let before = log::known_at(conn, &log, before).await?;
    let last = log::known_at(conn, &log, last).await?.max(before);
    let up_to = acknowledged.clamp(before, last);
    let oldest = if up_to < last {
        log::recorded_at(conn, &log, up_to + 1).await?
    } else {
        None
    };
    let mut found = Promptness {
        csp,
        changes: last - before,
        acknowledged: up_to - before,
        oldest_not_acknowledged: oldest,
        until_acknowledged: Durations::new(),
        until_applied: Durations::new(),
        applied_before: 0,
    };
    for (stage, bucket, changes) in counted(conn, &found.csp, hours).await? {
        found.add(stage, bucket, changes);
    }
    if !found.is_possible() {
        let problem = "more changes were counted than were acknowledged";
        return Err(StoreError::inconsistent(DELIVERIES, problem));
    }
    Ok(found)
}

async fn counted(
    conn: &mut Conn,
    csp: &CspId,
    hours: &Hours,
) -> Result<Vec<(Stage, Bucket, u64)>, StoreError> {
    let rows: Vec<(i64, i64, i64)> = query_as(
        "SELECT stage, bucket, CAST(SUM(changes) AS BIGINT) FROM delivery_count \
         WHERE csp = $1 AND hour >= $2 AND hour < $3 GROUP BY stage, bucket",
    )
    .bind(csp.as_str())
    .bind(hours.first().number())
    .bind(hours.after().number())
    .fetch_all(conn)
    .await?;
    let read = |(stage, bucket, changes)| {
        let bucket = u64::try_from(bucket).ok().and_then(Bucket::named);
        Some((
            Stage::numbered(stage)?,
            bucket?,
            u64::try_from(changes).ok()?,
        ))
    };
    let rows: Option<Vec<_>> = rows.into_iter().map(read).collect();
    rows.ok_or_else(|| StoreError::inconsistent(DELIVERIES, "a stage or bucket is unknown"))
}

/// Counts the changes after event `after` of a CSP's log up to event `up_to` as acknowledged.
pub(super) async fn count(
    tx: &mut WriteTx,
    csp: &CspId,
    (after, up_to): (Sequence, Sequence),
    by: Acknowledged,
) -> Result<Counts, StoreError> {
    let log = log_of(csp);
    let mut counts = Counts::default();
    let mut at = after;
    while at < up_to {
        let page = u32::try_from(up_to - at).map_or(PAGE, |left| left.min(PAGE));
        let times = log::recorded_times(tx.conn(), &log, at, page).await?;
        if times.is_empty() {
            break;
        }
        at += times.len() as u64;
        // What was projected together was recorded at one time.
        for together in times.chunk_by(|one, next| one == next) {
            counts.add(by, together[0], together.len() as u64);
        }
    }
    if at < up_to {
        // What this transaction appends is not there to be read yet. All of it is recorded at one time.
        let recorded = tx.head(&log)?.recorded_time;
        counts.add(by, recorded, up_to - at);
    }
    Ok(counts)
}

/// Adds counts to those that are there.
pub(super) fn put_counts(tx: &mut WriteTx, csp: &CspId, counts: Counts) {
    let rows: Vec<((Hour, Stage, Bucket), u64)> = counts.rows().collect();
    tx.insert_rows(
        "INSERT INTO delivery_count (csp, hour, stage, bucket, changes)",
        &rows,
        5,
        "ON CONFLICT (csp, hour, stage, bucket) \
         DO UPDATE SET changes = delivery_count.changes + excluded.changes",
        |mut columns, ((hour, stage, bucket), changes)| {
            columns
                .push_bind(csp.as_str())
                .push_bind(hour.number())
                .push_bind(stage.number())
                .push_bind(count_to_db(bucket.millis()))
                .push_bind(count_to_db(*changes));
        },
    );
}

fn count_to_db(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
