//! How many requests were there, how did they end, and how many of them are excepted?
//!
//! The totals come from the tally. Exceptions are decided when a report is made, by joining the
//! outcomes that can be excepted with the intervals in which their Devices were flagged: an outcome
//! that came before its flag event was followed is judged rightly as soon as the event is.

use std::collections::{BTreeMap, HashMap};

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as};

use super::{Basis, FiguresKey, FiguresPage, FiguresQuery, count};
use crate::figures::Figures;
use crate::outcome::{Ending, Origin};

const TALLY: &str = "outcome_tally";
const OUTCOMES: &str = "outcome";

/// Rows of the tally that one row of the report is made of: each origin with each result.
const KINDS: usize = Origin::ALL.len() * Ending::ALL.len();

/// Supplier, variant, origin, result, how many.
type Row = (String, String, i64, i64, i64);

/// Requests of one kind.
pub(super) struct Kind {
    origin: Origin,
    ending: Ending,
    requests: u64,
}

/// All requests of the report, over all its pages.
pub(super) async fn totals(conn: &mut Conn, query: &FiguresQuery) -> Result<Vec<Kind>, StoreError> {
    let rows: Vec<(i64, i64, i64)> = query_as(
        "SELECT origin, result, CAST(SUM(outcomes) AS BIGINT) FROM outcome_tally \
         WHERE month = $1 AND ($2 = '' OR party_id = $2) AND ($3 = '' OR variant = $3) \
         GROUP BY origin, result",
    )
    .bind(query.month.to_string())
    .bind(party(query))
    .bind(variant(query))
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|(origin, result, outcomes)| kind(TALLY, origin, result, outcomes))
        .collect()
}

/// The rows of a page without their exceptions, and whether more follow.
pub(super) async fn rows(
    conn: &mut Conn,
    query: &FiguresQuery,
    after: Option<&FiguresKey>,
    size: usize,
) -> Result<(BTreeMap<FiguresKey, Figures>, bool), StoreError> {
    let (after_party, after_variant) = after.map_or(("", ""), |(party, variant)| {
        (party.as_str(), variant.as_str())
    });
    // Enough for one row more than the page has, whose presence says that it is not the last.
    let limit = (size + 1).saturating_mul(KINDS);
    let tally: Vec<Row> = query_as(
        "SELECT party_id, variant, origin, result, outcomes FROM outcome_tally \
         WHERE month = $1 AND ($2 = '' OR party_id = $2) AND ($3 = '' OR variant = $3) \
         AND (party_id, variant) > ($4, $5) \
         ORDER BY party_id, variant, origin, result LIMIT $6",
    )
    .bind(query.month.to_string())
    .bind(party(query))
    .bind(variant(query))
    .bind(after_party)
    .bind(after_variant)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(conn)
    .await?;
    let mut rows: BTreeMap<FiguresKey, Figures> = BTreeMap::new();
    for row in tally {
        let (key, kind) = keyed(TALLY, row)?;
        if rows.len() == size && !rows.contains_key(&key) {
            return Ok((rows, true));
        }
        let figures = rows.entry(key).or_default();
        figures.count(kind.origin, kind.ending, kind.requests);
    }
    Ok((rows, false))
}

/// The exceptions of the whole report. Only suppliers and variants that have some are in it.
pub(super) async fn exceptions(
    conn: &mut Conn,
    query: &FiguresQuery,
) -> Result<HashMap<FiguresKey, Vec<Kind>>, StoreError> {
    let month = query.month.interval();
    let rows: Vec<Row> = query_as(EXCEPTIONS)
        .bind(month.start().micros())
        .bind(month.end().micros())
        .bind(party(query))
        .bind(variant(query))
        .fetch_all(conn)
        .await?;
    let mut exceptions: HashMap<FiguresKey, Vec<Kind>> = HashMap::new();
    for row in rows {
        let (key, kind) = keyed(OUTCOMES, row)?;
        exceptions.entry(key).or_default().push(kind);
    }
    Ok(exceptions)
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

/// Puts a page together.
pub(super) fn page(
    totals: Vec<Kind>,
    mut rows: BTreeMap<FiguresKey, Figures>,
    more: bool,
    exceptions: HashMap<FiguresKey, Vec<Kind>>,
    basis: Basis,
) -> FiguresPage {
    let mut total = Figures::default();
    for kind in totals {
        total.count(kind.origin, kind.ending, kind.requests);
    }
    for (key, kinds) in exceptions {
        let mut row = rows.get_mut(&key);
        for kind in kinds {
            total.except(kind.origin, kind.ending, kind.requests);
            if let Some(row) = &mut row {
                row.except(kind.origin, kind.ending, kind.requests);
            }
        }
    }
    FiguresPage {
        rows: rows.into_iter().collect(),
        totals: total,
        more,
        basis,
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

fn keyed(table: &'static str, row: Row) -> Result<(FiguresKey, Kind), StoreError> {
    let (party, variant, origin, result, outcomes) = row;
    let malformed = || StoreError::inconsistent(table, "a supplier or variant is malformed");
    let party = party.parse().map_err(|_| malformed())?;
    let variant = variant.parse().map_err(|_| malformed())?;
    Ok(((party, variant), kind(table, origin, result, outcomes)?))
}

fn kind(table: &'static str, origin: i64, result: i64, outcomes: i64) -> Result<Kind, StoreError> {
    let unknown = || StoreError::inconsistent(table, "an origin or result is unknown");
    let origin = i32::try_from(origin).ok();
    let result = i32::try_from(result).ok();
    Ok(Kind {
        origin: origin.and_then(|n| n.try_into().ok()).ok_or_else(unknown)?,
        ending: result.and_then(|n| n.try_into().ok()).ok_or_else(unknown)?,
        requests: count(table, outcomes)?,
    })
}
