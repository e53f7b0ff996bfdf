//! How many requests were there, how did they end, and how many of them are excepted?
//!
//! The counts come from the tally. Exceptions are decided when a report is made, by joining the
//! outcomes that can be excepted with the intervals in which their Devices were flagged: an outcome
//! that came before its flag event was followed is judged rightly as soon as the event is.

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as};
use mesh_types::PartyId;

use super::{FiguresQuery, count};
use crate::grouping::FinestFigures;
use crate::outcome::{Ending, Origin, Variant};

const TALLY: &str = "outcome_tally";
const OUTCOMES: &str = "outcome";

/// Supplier, variant, origin, result, how many.
type Row = (String, String, i64, i64, i64);

/// Requests of one kind.
struct Kind {
    key: (PartyId, Variant),
    origin: Origin,
    ending: Ending,
    requests: u64,
}

/// The figures of a month: a few rows for each supplier, however many outcomes it has.
pub(super) async fn read(
    conn: &mut Conn,
    query: &FiguresQuery,
) -> Result<FinestFigures, StoreError> {
    let mut figures = FinestFigures::new();
    for row in tally(conn, query).await? {
        let kind = kind(TALLY, row)?;
        let figures = figures.entry(kind.key).or_default();
        figures.count(kind.origin, kind.ending, kind.requests);
    }
    for row in exceptions(conn, query).await? {
        let kind = kind(OUTCOMES, row)?;
        let figures = figures.entry(kind.key).or_default();
        figures.except(kind.origin, kind.ending, kind.requests);
    }
    Ok(figures)
}

/// All requests of the month.
async fn tally(conn: &mut Conn, query: &FiguresQuery) -> Result<Vec<Row>, StoreError> {
    query_as(
        "SELECT party_id, variant, origin, result, outcomes FROM outcome_tally \
         WHERE month = $1 AND ($2 = '' OR party_id = $2) AND ($3 = '' OR variant = $3)",
    )
    .bind(query.month.to_string())
    .bind(party(query))
    .bind(variant(query))
    .fetch_all(conn)
    .await
}

/// Those of them that are excepted.
async fn exceptions(conn: &mut Conn, query: &FiguresQuery) -> Result<Vec<Row>, StoreError> {
    let month = query.month.interval();
    query_as(EXCEPTIONS)
        .bind(month.start().micros())
        .bind(month.end().micros())
        .bind(party(query))
        .bind(variant(query))
        .fetch_all(conn)
        .await
}

/// From the Devices that were flagged within the month to their outcomes, so that its cost grows
/// with what can be excepted and not with all outcomes. A Device may be covered twice: hence EXISTS
/// and not a join, which would count its outcomes twice.
pub(super) const EXCEPTIONS: &str = "\
    SELECT o.party_id, o.variant, o.origin, o.result, COUNT(*) FROM outcome o \
    WHERE o.exceptable AND o.request_time >= $1 AND o.request_time < $2 \
    AND o.device_id IN (\
        SELECT f.device_id FROM flag_interval f WHERE f.end_time > $1 AND f.start_time < $2) \
    AND EXISTS (\
        SELECT 1 FROM flag_interval f WHERE f.device_id = o.device_id \
        AND f.start_time <= o.request_time AND o.request_time < f.end_time) \
    AND ($3 = '' OR o.party_id = $3) AND ($4 = '' OR o.variant = $4) \
    GROUP BY o.party_id, o.variant, o.origin, o.result";

fn party(query: &FiguresQuery) -> &str {
    query.party.as_ref().map_or("", |party| party.as_str())
}

fn variant(query: &FiguresQuery) -> &str {
    query
        .variant
        .as_ref()
        .map_or("", |variant| variant.as_str())
}

fn kind(table: &'static str, row: Row) -> Result<Kind, StoreError> {
    let (party, variant, origin, result, outcomes) = row;
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
        requests: count(table, outcomes)?,
    })
}
