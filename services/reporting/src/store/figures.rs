//! How many requests were there, how did they end, and how many of them are excepted?
//!
//! The counts of the parts say it, but for the outcomes that are still open: whether these are excepted is
//! decided here, by joining them with the intervals in which their Devices were flagged. So an outcome that
//! came before its flag event was followed is judged rightly as soon as the event is.

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as};
use mesh_types::PartyId;

use super::{FiguresQuery, count};
use crate::edition::Layers;
use crate::grouping::FinestFigures;
use crate::outcome::{Ending, Origin, Variant};
use crate::period::{Part, Period};

const PARTS: &str = "outcome_part";
const OPEN: &str = "outcome_open";

/// Supplier, variant, origin, result.
type Key = (String, String, i64, i64);

/// Requests of one kind.
struct Kind {
    key: (PartyId, Variant),
    origin: Origin,
    ending: Ending,
}

/// The figures of a month: a few rows for each supplier, however many outcomes it has.
pub(super) async fn read(
    conn: &mut Conn,
    query: &FiguresQuery,
) -> Result<FinestFigures, StoreError> {
    let mut figures = FinestFigures::new();
    for (party, variant, origin, result, outcomes, excepted) in counted(conn, query).await? {
        let kind = kind(PARTS, (party, variant, origin, result))?;
        let figures = figures.entry(kind.key).or_default();
        figures.count(kind.origin, kind.ending, count(PARTS, outcomes)?);
        figures.except(kind.origin, kind.ending, count(PARTS, excepted)?);
    }
    if query.layers != Layers::All {
        // Nothing of an edition is open.
        return Ok(figures);
    }
    for (party, variant, origin, result, excepted) in exceptions(conn, query).await? {
        let kind = kind(OPEN, (party, variant, origin, result))?;
        let figures = figures.entry(kind.key).or_default();
        figures.except(kind.origin, kind.ending, count(OPEN, excepted)?);
    }
    Ok(figures)
}

/// All requests of the month, and those that are excepted for good.
async fn counted(
    conn: &mut Conn,
    query: &FiguresQuery,
) -> Result<Vec<(String, String, i64, i64, i64, i64)>, StoreError> {
    let [first, second, third] = parts(query.period);
    let (from, until) = bounds(&query.layers);
    query_as(
        "SELECT k.party_id, k.variant, k.origin, k.result, \
            CAST(SUM(p.outcomes) AS BIGINT), CAST(SUM(p.excepted) AS BIGINT) \
         FROM outcome_part p JOIN outcome_kind k ON k.kind = p.kind \
         WHERE p.part IN ($1, $2, $3) AND p.layer >= $6 AND p.layer < $7 \
         AND ($4 = '' OR k.party_id = $4) AND ($5 = '' OR k.variant = $5) \
         GROUP BY k.party_id, k.variant, k.origin, k.result",
    )
    .bind(first)
    .bind(second)
    .bind(third)
    .bind(party(query))
    .bind(variant(query))
    .bind(from)
    .bind(until)
    .fetch_all(conn)
    .await
}

/// The open ones that are excepted by what is known of the flags.
async fn exceptions(
    conn: &mut Conn,
    query: &FiguresQuery,
) -> Result<Vec<(String, String, i64, i64, i64)>, StoreError> {
    let month = query.period.interval();
    query_as(EXCEPTIONS)
        .bind(month.start().micros())
        .bind(month.end().micros())
        .bind(party(query))
        .bind(variant(query))
        .fetch_all(conn)
        .await
}

/// From the Devices that were flagged within the month to their outcomes, so that its cost grows
/// with what can be excepted and not with all that is open. A Device may be covered twice: hence EXISTS
/// and not a join, which would count its outcomes twice.
pub(super) const EXCEPTIONS: &str = "\
    SELECT k.party_id, k.variant, k.origin, k.result, CAST(SUM(o.outcomes) AS BIGINT) \
    FROM outcome_open o JOIN outcome_kind k ON k.kind = o.kind \
    WHERE o.request_time >= $1 AND o.request_time < $2 \
    AND o.device_id IN (\
        SELECT f.device_id FROM flag_interval f WHERE f.end_time > $1 AND f.start_time < $2) \
    AND EXISTS (\
        SELECT 1 FROM flag_interval f WHERE f.device_id = o.device_id \
        AND f.start_time <= o.request_time AND o.request_time < f.end_time) \
    AND ($3 = '' OR k.party_id = $3) AND ($4 = '' OR k.variant = $4) \
    GROUP BY k.party_id, k.variant, k.origin, k.result";

/// The parts of a period, of which there are one to three; one of them is told again for each that is not.
pub(super) fn parts(period: Period) -> [String; 3] {
    let parts = period.parts();
    std::array::from_fn(|at| {
        parts
            .get(at)
            .or(parts.first())
            .map_or_else(String::new, Part::to_string)
    })
}

/// The first of some layers, and the one after the last.
pub(super) fn bounds(layers: &Layers) -> (i64, i64) {
    match layers {
        Layers::All => (0, i64::MAX),
        Layers::Of(layers) => (layers.start.cast_signed(), layers.end.cast_signed()),
    }
}

fn party(query: &FiguresQuery) -> &str {
    query.party.as_ref().map_or("", |party| party.as_str())
}

fn variant(query: &FiguresQuery) -> &str {
    query
        .variant
        .as_ref()
        .map_or("", |variant| variant.as_str())
}

fn kind(table: &'static str, key: Key) -> Result<Kind, StoreError> {
    let (party, variant, origin, result) = key;
    let malformed = || StoreError::inconsistent(table, "a supplier or variant is malformed");
    let unknown = || StoreError::inconsistent(table, "an origin or result is unknown");
    let party = party.parse().map_err(|_| malformed())?;
    let variant = variant.parse().map_err(|_| malformed())?;
    let origin = i32::try_from(origin).ok();
    let result = i32::try_from(result).ok();
    Ok(Kind {
        key: (party, variant),
        origin: origin.and_then(|n| n.try_into().ok()).ok_or_else(unknown)?,
        ending: result.and_then(|n| n.try_into().ok()).ok_or_else(unknown)?,
    })
}
