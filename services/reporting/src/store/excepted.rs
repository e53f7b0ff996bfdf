//! To which Devices were excepted requests sent, and how did these end?
//!
//! There may be very many such Devices. A page looks at a few flagged Devices after the one that ended
//! the page before, and at four times as many as long as it is not full, so that its cost grows with
//! what it shows and not with the month.

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as, query_scalar};

use super::{ExceptedKey, ExceptedQuery, count};
use crate::exception::Excepted;
use crate::outcome::Ending;

const OUTCOMES: &str = "outcome";

/// Device, supplier, variant; then how many were suppressed, failed and delivered.
type Row = (String, String, String, i64, i64, i64);

/// Comes after every Device's id. With a bound at either end the Devices are found by their ids, and not
/// all that was flagged since the month is looked at.
const END: &str = "~";

/// Flagged Devices of a month: from one on, up to but not including another.
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

/// The Device that comes `devices` after `from` among those that were flagged within the month.
async fn device_after(
    conn: &mut Conn,
    query: &ExceptedQuery,
    from: &str,
    devices: usize,
) -> Result<Option<String>, StoreError> {
    let month = query.month.interval();
    query_scalar(
        "SELECT f.device_id FROM flag_interval f \
         WHERE f.device_id >= $1 AND f.end_time > $2 AND f.start_time < $3 \
         GROUP BY f.device_id ORDER BY f.device_id LIMIT 1 OFFSET $4",
    )
    .bind(from)
    .bind(month.start().micros())
    .bind(month.end().micros())
    .bind(limit(devices))
    .fetch_optional(conn)
    .await
}

async fn excepted(
    conn: &mut Conn,
    query: &ExceptedQuery,
    after: Option<&ExceptedKey>,
    devices: &Devices,
    wanted: usize,
) -> Result<Vec<Row>, StoreError> {
    let month = query.month.interval();
    let (device, party, variant) = after.map_or_else(Default::default, |after| {
        let (device, party, variant) = after;
        (device.to_string(), party.as_str(), variant.as_str())
    });
    query_as(EXCEPTED)
        .bind(month.start().micros())
        .bind(month.end().micros())
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
        .fetch_all(conn)
        .await
}

/// As the figures' exceptions: from the Devices that were flagged to their outcomes. $12 is how many have to
/// be delivered at least.
pub(super) const EXCEPTED: &str = "\
    SELECT o.device_id, o.party_id, o.variant, \
        COUNT(CASE WHEN o.result = $9 THEN 1 END), \
        COUNT(CASE WHEN o.result = $10 THEN 1 END), \
        COUNT(CASE WHEN o.result = $11 THEN 1 END) \
    FROM outcome o \
    WHERE o.exceptable AND o.request_time >= $1 AND o.request_time < $2 \
    AND o.device_id IN (\
        SELECT f.device_id FROM flag_interval f WHERE f.end_time > $1 AND f.start_time < $2 \
        AND f.device_id >= $3 AND f.device_id < $4) \
    AND EXISTS (\
        SELECT 1 FROM flag_interval f WHERE f.device_id = o.device_id \
        AND f.start_time <= o.request_time AND o.request_time < f.end_time) \
    AND ($5 = '' OR o.party_id = $5) \
    AND (o.device_id, o.party_id, o.variant) > ($6, $7, $8) \
    GROUP BY o.device_id, o.party_id, o.variant \
    HAVING COUNT(CASE WHEN o.result = $11 THEN 1 END) >= $12 \
    ORDER BY o.device_id, o.party_id, o.variant LIMIT $13";

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn read(row: Row) -> Result<(ExceptedKey, Excepted), StoreError> {
    let (device, party, variant, suppressed, failed, delivered) = row;
    let malformed =
        || StoreError::inconsistent(OUTCOMES, "a Device, supplier or variant is malformed");
    let key = (
        device.parse().map_err(|_| malformed())?,
        party.parse().map_err(|_| malformed())?,
        variant.parse().map_err(|_| malformed())?,
    );
    let excepted = Excepted {
        suppressed: count(OUTCOMES, suppressed)?,
        failed: count(OUTCOMES, failed)?,
        delivered: count(OUTCOMES, delivered)?,
    };
    Ok((key, excepted))
}
