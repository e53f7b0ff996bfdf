//! Whose flags are set, and what became of flags month by month?
//!
//! Flags are counted in the transaction that applies their events. How far they were counted is a cursor of its own,
//! because the log may have been followed before flags were counted: then it is read once more, for the counts alone.

use std::collections::{BTreeMap, BTreeSet};

use mesh_store::cursor::{self, Advance, Cursor};
use mesh_store::sql::{Conn, QueryBuilder, query, query_as};
use mesh_store::{MAX_BINDS, StoreError, insert_rows};
use mesh_types::{CspId, DeviceId, PartyId};

use super::{Basis, FLAGS, ReportStore, Step, basis};
use crate::flags::FlagChange;
use crate::movement::{FlagFigures, Holder, Moved, Movement, Standing, step};
use crate::period::{Part, Period};

/// The cursor that says how far the flags were counted.
pub(super) const COUNTS: &str = "flag-counts";

pub(super) const STANDING: &str = "flag_standing";
pub(super) const MOVEMENTS: &str = "flag_movement";

/// What a report of flags is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsQuery {
    /// The month.
    pub period: Period,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// Only this CSP.
    pub csp: Option<CspId>,
}

/// What became of the flags of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagMonth {
    /// The figures of each supplier and CSP, none of them nothing.
    pub figures: BTreeMap<Holder, FlagFigures>,
    /// Whether all events are counted that were applied.
    pub is_complete: bool,
    /// What it rests on.
    pub basis: Basis,
}

impl ReportStore {
    /// What became of the flags of a month.
    pub async fn flags(&self, query: &FlagsQuery) -> Result<FlagMonth, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let figures = read(&mut snapshot, query).await?;
        let is_complete = is_complete(&mut snapshot).await?;
        let basis = basis(&mut snapshot, None).await?;
        Ok(FlagMonth {
            figures,
            is_complete,
            basis,
        })
    }
}

/// How far the flags were counted.
pub(super) async fn counted(conn: &mut Conn) -> Result<Option<Cursor>, StoreError> {
    cursor::get(conn, COUNTS).await
}

/// Whether all is counted that was applied.
pub(super) async fn is_complete(conn: &mut Conn) -> Result<bool, StoreError> {
    let applied = cursor::get(conn, FLAGS).await?;
    Ok(is_at(counted(conn).await?.as_ref(), applied.as_ref()))
}

/// Whether two cursors stand at the same place.
pub(super) fn is_at(one: Option<&Cursor>, other: Option<&Cursor>) -> bool {
    one.map(|cursor| &cursor.position) == other.map(|cursor| &cursor.position)
}

/// Counts the events of a step. With `anew` whatever was counted before is forgotten, and the cursor may stand
/// anywhere.
pub(super) async fn count(
    conn: &mut Conn,
    made: &Step,
    anew: bool,
    changes: &[FlagChange],
) -> Result<Advance, StoreError> {
    let stands = counted(conn).await?;
    let from = if anew { &stands } else { &made.from };
    let advance = cursor::advance(conn, COUNTS, from.as_ref(), &made.to).await?;
    if advance == Advance::Stale {
        return Ok(advance);
    }
    if anew {
        for forgotten in ["DELETE FROM flag_standing", "DELETE FROM flag_movement"] {
            query(forgotten).execute(&mut *conn).await?;
        }
    }
    let sources: BTreeSet<DeviceId> = changes.iter().map(|change| change.source).collect();
    let sources: Vec<DeviceId> = sources.into_iter().collect();
    let mut standing = standing(conn, &sources).await?;
    let mut movements: BTreeMap<(Part, Moved), i64> = BTreeMap::new();
    for change in changes {
        let part = Part::of(change.at)
            .map_err(|_| StoreError::inconsistent(MOVEMENTS, "a time is in no month"))?;
        let holder = change.is_flagged().then_some(&change.holder);
        let (after, moved) = step(standing.remove(&change.source), holder, change.cause);
        standing.extend(after.map(|after| (change.source, after)));
        for moved in moved {
            *movements.entry((part, moved)).or_default() += 1;
        }
    }
    replace(conn, &sources, standing).await?;
    add(conn, movements).await?;
    Ok(advance)
}

/// The flags of these meters that are set.
async fn standing(
    conn: &mut Conn,
    sources: &[DeviceId],
) -> Result<BTreeMap<DeviceId, Standing>, StoreError> {
    let malformed = || StoreError::inconsistent(STANDING, "a Device's id is malformed");
    let mut standing = BTreeMap::new();
    for chunk in sources.chunks(MAX_BINDS) {
        let mut query = QueryBuilder::new(
            "SELECT device_id, party_id, csp_id, gained FROM flag_standing WHERE device_id ",
        );
        query.push_in(chunk.iter().map(ToString::to_string));
        let rows: Vec<(String, String, String, bool)> =
            query.build_query_as().fetch_all(&mut *conn).await?;
        for (device, party, csp, gained) in rows {
            let device = device.parse().map_err(|_| malformed())?;
            let holder = holder(STANDING, &party, &csp)?;
            standing.insert(device, Standing { holder, gained });
        }
    }
    Ok(standing)
}

async fn replace(
    conn: &mut Conn,
    sources: &[DeviceId],
    standing: BTreeMap<DeviceId, Standing>,
) -> Result<(), StoreError> {
    let ended: Vec<_> = sources
        .iter()
        .filter(|source| !standing.contains_key(source))
        .collect();
    for chunk in ended.chunks(MAX_BINDS) {
        let mut query = QueryBuilder::new("DELETE FROM flag_standing WHERE device_id ");
        query.push_in(chunk.iter().map(ToString::to_string));
        query.build().execute(&mut *conn).await?;
    }
    let standing: Vec<_> = standing.into_iter().collect();
    insert_rows(
        conn,
        "INSERT INTO flag_standing (device_id, party_id, csp_id, gained)",
        &standing,
        4,
        "ON CONFLICT (device_id) DO UPDATE SET party_id = excluded.party_id, \
         csp_id = excluded.csp_id, gained = excluded.gained",
        |mut row, (device, standing)| {
            let (party, csp) = names(&standing.holder);
            row.push_bind(device.to_string())
                .push_bind(party)
                .push_bind(csp)
                .push_bind(standing.gained);
        },
    )
    .await?;
    Ok(())
}

async fn add(conn: &mut Conn, movements: BTreeMap<(Part, Moved), i64>) -> Result<(), StoreError> {
    let movements: Vec<_> = movements.into_iter().collect();
    insert_rows(
        conn,
        "INSERT INTO flag_movement (part, party_id, csp_id, movement, gained, flags)",
        &movements,
        6,
        "ON CONFLICT (part, party_id, csp_id, movement, gained) \
         DO UPDATE SET flags = flag_movement.flags + excluded.flags",
        |mut row, ((part, moved), flags)| {
            let (party, csp) = names(&moved.holder);
            row.push_bind(part.to_string())
                .push_bind(party)
                .push_bind(csp)
                .push_bind(moved.movement.number())
                .push_bind(moved.gained)
                .push_bind(*flags);
        },
    )
    .await?;
    Ok(())
}

/// Supplier, CSP, movement, whether gained, how many before the month, how many within it.
type Counted = (String, String, i64, bool, i64, i64);

/// The figures of a month by holder, none of them nothing.
pub(super) async fn read(
    conn: &mut Conn,
    asked: &FlagsQuery,
) -> Result<BTreeMap<Holder, FlagFigures>, StoreError> {
    // Parts sort as their texts do; a month is all parts from its first to that of the next month.
    let (first, after) = asked.period.bounds();
    let counted: Vec<Counted> = query_as(
        "SELECT party_id, csp_id, movement, gained, \
            CAST(SUM(CASE WHEN part < $1 THEN flags ELSE 0 END) AS BIGINT), \
            CAST(SUM(CASE WHEN part < $1 THEN 0 ELSE flags END) AS BIGINT) \
         FROM flag_movement WHERE ($2 = '' OR part < $2) \
         AND ($3 = '' OR party_id = $3) AND ($4 = '' OR csp_id = $4) \
         GROUP BY party_id, csp_id, movement, gained",
    )
    .bind(first.map_or_else(String::new, |part| part.to_string()))
    .bind(after.map_or_else(String::new, |part| part.to_string()))
    .bind(asked.party.as_ref().map_or("", |party| party.as_str()))
    .bind(asked.csp.as_ref().map_or("", |csp| csp.as_str()))
    .fetch_all(conn)
    .await?;
    let mut rows: BTreeMap<Holder, FlagFigures> = BTreeMap::new();
    for (party, csp, movement, gained, before, within) in counted {
        let movement = Movement::numbered(movement)
            .ok_or_else(|| StoreError::inconsistent(MOVEMENTS, "a movement is unknown"))?;
        let figures = rows.entry(holder(MOVEMENTS, &party, &csp)?).or_default();
        figures.add(movement, gained, before, within);
    }
    if !rows.values().all(FlagFigures::is_possible) {
        return Err(StoreError::inconsistent(
            MOVEMENTS,
            "more flags went than came",
        ));
    }
    rows.retain(|_, figures| !figures.is_nothing());
    Ok(rows)
}

fn holder(table: &'static str, party: &str, csp: &str) -> Result<Holder, StoreError> {
    let malformed = || StoreError::inconsistent(table, "a supplier or CSP is malformed");
    let supplier = match party {
        "" => None,
        party => Some(party.parse().map_err(|_| malformed())?),
    };
    let csp = match csp {
        "" => None,
        csp => Some(csp.parse().map_err(|_| malformed())?),
    };
    Ok(Holder { supplier, csp })
}

fn names(holder: &Holder) -> (String, String) {
    let party = holder.supplier.as_ref().map(ToString::to_string);
    let csp = holder.csp.as_ref().map(ToString::to_string);
    (party.unwrap_or_default(), csp.unwrap_or_default())
}
