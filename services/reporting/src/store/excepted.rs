//! To which Devices were excepted requests sent, and how did these end?
//!
//! There may be very many such Devices. A page looks at a few of them after the one that ended the page
//! before, and at four times as many as long as it is not full, so that its cost grows with what it shows
//! and not with the month.

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as, query_scalar};
use mesh_types::Timestamp;

use super::figures::{bounds, parts};
use super::{ExceptedKey, ExceptedQuery, count};
use crate::edition::Layers;
use crate::exception::Excepted;
use crate::outcome::Ending;

const TABLE: &str = "excepted_device";

/// Device, supplier, variant; then how many were suppressed, failed and delivered.
type Row = (String, String, String, i64, i64, i64);

/// Comes after every Device's id. With a bound at either end the Devices are found by their ids, and not
/// all of the month is looked at.
const END: &str = "~";

/// Devices of a month: from one on, up to but not including another.
struct Devices {
    from: String,
    until: String,
}

/// At most `size` rows after `after`, and whether more follow.
pub(super) async fn rows(
    conn: &mut Conn,
    query: &ExceptedQuery,
    after: Option<&ExceptedKey>,
    size: usize,
) -> Result<(Vec<(ExceptedKey, Excepted)>, bool), StoreError> {
    let mut rows = Vec::new();
    let mut from = after.map_or_else(String::new, |(device, ..)| device.to_string());
    // One row more than the page has says that it is not the last.
    let mut devices = size + 1;
    loop {
        let until = device_after(conn, query, &from, devices).await?;
        let until = until.unwrap_or_else(|| END.to_owned());
        let part = Devices { from, until };
        let wanted = size + 1 - rows.len();
        for row in excepted(conn, query, after, &part, wanted).await? {
            rows.push(read(row)?);
        }
        if rows.len() > size || part.until == END {
            let more = rows.len() > size;
            rows.truncate(size);
            return Ok((rows, more));
        }
        from = part.until;
        devices = devices.saturating_mul(4);
    }
}

/// The Device that comes `devices` after `from` among those with exceptions, or with outcomes that may be.
async fn device_after(
    conn: &mut Conn,
    query: &ExceptedQuery,
    from: &str,
    devices: usize,
) -> Result<Option<String>, StoreError> {
    let [first, second, third] = parts(query.period);
    let (start, end) = open_between(query);
    let (from_layer, until_layer) = bounds(&query.layers);
    let devices = limit(devices);
    // Each looks at so many of its own: more than that none of them needs to know.
    query_scalar(
        "SELECT device_id FROM (\
            SELECT device_id FROM (SELECT DISTINCT device_id FROM excepted_device \
                WHERE part IN ($1, $2, $3) AND device_id >= $4 AND layer >= $9 AND layer < $10 \
                ORDER BY device_id LIMIT $5) AS settled \
            UNION SELECT device_id FROM (SELECT DISTINCT f.device_id FROM flag_interval f \
                WHERE f.device_id >= $4 AND f.end_time > $6 AND f.start_time < $7 \
                ORDER BY f.device_id LIMIT $5) AS flagged) AS devices \
         ORDER BY device_id LIMIT 1 OFFSET $8",
    )
    .bind(first)
    .bind(second)
    .bind(third)
    .bind(from)
    .bind(devices + 1)
    .bind(start.micros())
    .bind(end.micros())
    .bind(devices)
    .bind(from_layer)
    .bind(until_layer)
    .fetch_optional(conn)
    .await
}

/// The instants whose open outcomes count: those of the month, and none of an edition.
fn open_between(query: &ExceptedQuery) -> (Timestamp, Timestamp) {
    match query.layers {
        Layers::All => {
            let month = query.period.interval();
            (month.start(), month.end())
        }
        Layers::Of(_) => (Timestamp::from_micros(0), Timestamp::from_micros(0)),
    }
}

async fn excepted(
    conn: &mut Conn,
    query: &ExceptedQuery,
    after: Option<&ExceptedKey>,
    devices: &Devices,
    wanted: usize,
) -> Result<Vec<Row>, StoreError> {
    let (start, end) = open_between(query);
    let (from_layer, until_layer) = bounds(&query.layers);
    let (device, party, variant) = after.map_or_else(Default::default, |after| {
        let (device, party, variant) = after;
        (device.to_string(), party.as_str(), variant.as_str())
    });
    let [first, second, third] = parts(query.period);
    query_as(EXCEPTED)
        .bind(start.micros())
        .bind(end.micros())
        .bind(&devices.from)
        .bind(&devices.until)
        .bind(query.party.as_ref().map_or("", |party| party.as_str()))
        .bind(device)
        .bind(party)
        .bind(variant)
        .bind(i64::from(Ending::Suppressed.number()))
        .bind(i64::from(Ending::Failed.number()))
        .bind(i64::from(Ending::Succeeded.number()))
        .bind(i64::from(query.delivered_only))
        .bind(limit(wanted))
        .bind(first)
        .bind(second)
        .bind(third)
        .bind(from_layer)
        .bind(until_layer)
        .fetch_all(conn)
        .await
}

/// What is excepted for good, and of what is open as much as is by now: as the figures' exceptions. $12 is
/// how many have to be delivered at least.
pub(super) const EXCEPTED: &str = "\
    SELECT e.device_id, k.party_id, k.variant, \
        CAST(SUM(CASE WHEN k.result = $9 THEN e.outcomes ELSE 0 END) AS BIGINT), \
        CAST(SUM(CASE WHEN k.result = $10 THEN e.outcomes ELSE 0 END) AS BIGINT), \
        CAST(SUM(CASE WHEN k.result = $11 THEN e.outcomes ELSE 0 END) AS BIGINT) \
    FROM (\
        SELECT s.device_id, s.kind, s.outcomes FROM excepted_device s \
        WHERE s.part IN ($14, $15, $16) AND s.device_id >= $3 AND s.device_id < $4 \
        AND s.layer >= $17 AND s.layer < $18 \
        UNION ALL \
        SELECT o.device_id, o.kind, o.outcomes FROM outcome_open o \
        WHERE o.request_time >= $1 AND o.request_time < $2 \
        AND o.device_id IN (\
            SELECT f.device_id FROM flag_interval f WHERE f.end_time > $1 AND f.start_time < $2 \
            AND f.device_id >= $3 AND f.device_id < $4) \
        AND EXISTS (\
            SELECT 1 FROM flag_interval f WHERE f.device_id = o.device_id \
            AND f.start_time <= o.request_time AND o.request_time < f.end_time)\
    ) AS e JOIN outcome_kind k ON k.kind = e.kind \
    WHERE ($5 = '' OR k.party_id = $5) \
    AND (e.device_id, k.party_id, k.variant) > ($6, $7, $8) \
    GROUP BY e.device_id, k.party_id, k.variant \
    HAVING SUM(CASE WHEN k.result = $11 THEN e.outcomes ELSE 0 END) >= $12 \
    ORDER BY e.device_id, k.party_id, k.variant LIMIT $13";

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX / 2)
}

fn read(row: Row) -> Result<(ExceptedKey, Excepted), StoreError> {
    let (device, party, variant, suppressed, failed, delivered) = row;
    let malformed =
        || StoreError::inconsistent(TABLE, "a Device, supplier or variant is malformed");
    let key = (
        device.parse().map_err(|_| malformed())?,
        party.parse().map_err(|_| malformed())?,
        variant.parse().map_err(|_| malformed())?,
    );
    let excepted = Excepted {
        suppressed: count(TABLE, suppressed)?,
        failed: count(TABLE, failed)?,
        delivered: count(TABLE, delivered)?,
    };
    Ok((key, excepted))
}
