//! Are the rows what the service's own outcomes and flags make of each other?
//!
//! Reporting has no log of its own, so two rules are held against its rows. The tallies are what a count
//! of the outcomes gives; and the intervals of one flag do not overlap, and those of a Device that the flag
//! of a meter covers lie within one of that meter's. A row of a flag or meter that is changed to another
//! possible value is not found here: those logs are of other services.

use std::collections::BTreeMap;

use mesh_store::StoreError;
use mesh_store::fold::{Folded, Folding, Unlike};
use mesh_store::sql::{Conn, query_as, query_scalar};
use mesh_types::Timestamp;

use super::count;
use crate::month::Month;

const OUTCOMES: &str = "outcome";
const TALLY: &str = "outcome_tally";
const TOTAL: &str = "outcome_total";
const INTERVALS: &str = "flag_interval";

/// How many rows a page holds: there are many outcomes, and each is quickly counted.
const PAGE: i64 = 2_000;

/// Rows are only ever added, so that their numbers are in the order in which they were. (A `VACUUM`, which
/// could give them others, would need the file for itself.)
const COUNTED: &str = "SELECT number, party_id, variant, request_time, origin, result \
     FROM outcome WHERE number > $1 ORDER BY number LIMIT $2";

/// Each with whether another one of its flag begins within it, and whether the flag held that covers it.
const HELD: &str = "SELECT device_id, start_time, source_id, end_time, \
     EXISTS (SELECT 1 FROM flag_interval o \
        WHERE o.device_id = f.device_id AND o.source_id = f.source_id \
        AND o.start_time > f.start_time AND o.start_time < f.end_time) AS overlaps, \
     f.device_id = f.source_id OR EXISTS (SELECT 1 FROM flag_interval s \
        WHERE s.device_id = f.source_id AND s.source_id = f.source_id \
        AND s.start_time <= f.start_time AND s.end_time >= f.end_time) AS covered \
     FROM flag_interval f WHERE (device_id, start_time, source_id) > ($1, $2, $3) \
     ORDER BY device_id, start_time, source_id LIMIT $4";

/// A comparison of one kind of rows.
#[derive(Debug)]
pub enum ReportFolding {
    /// The tallies with the outcomes.
    Tallies(Tallies),
    /// The intervals with each other.
    Intervals(Intervals),
}

/// Counts outcomes.
#[derive(Debug)]
pub struct Tallies {
    folded: Folded,
    /// The number of the last outcome that was counted.
    counted: i64,
    tally: BTreeMap<Kind, i64>,
}

/// Looks at intervals.
#[derive(Debug)]
pub struct Intervals {
    folded: Folded,
    /// The key of the last one that was looked at.
    after: (String, i64, String),
}

/// What a row of the tally is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
struct Kind {
    month: String,
    party_id: String,
    variant: String,
    origin: i64,
    result: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct OutcomeRow {
    number: i64,
    party_id: String,
    variant: String,
    request_time: i64,
    origin: i64,
    result: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct TallyRow {
    #[sqlx(flatten)]
    kind: Kind,
    outcomes: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct IntervalRow {
    device_id: String,
    start_time: i64,
    source_id: String,
    end_time: i64,
    overlaps: bool,
    covered: bool,
}

impl ReportFolding {
    /// A comparison of each kind.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let folded = |log: &str| Folded {
            log: log.to_owned(),
            ..Folded::default()
        };
        vec![
            Self::Tallies(Tallies {
                folded: folded("outcomes"),
                counted: 0,
                tally: BTreeMap::new(),
            }),
            Self::Intervals(Intervals {
                folded: folded("flags"),
                after: (String::new(), i64::MIN, String::new()),
            }),
        ]
    }
}

impl Folding for ReportFolding {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        match self {
            Self::Tallies(tallies) => tallies.page(conn).await,
            Self::Intervals(intervals) => intervals.page(conn).await,
        }
    }

    fn folded(self) -> Folded {
        match self {
            Self::Tallies(tallies) => tallies.folded,
            Self::Intervals(intervals) => intervals.folded,
        }
    }
}

impl Tallies {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        if self.count(conn).await? {
            return Ok(true);
        }
        // What came meanwhile is in the tallies too: the rest is counted where they are read.
        let mut snapshot = conn.snapshot().await?;
        while self.count(&mut snapshot).await? {}
        let tallies: Vec<TallyRow> = query_as(
            "SELECT month, party_id, variant, origin, result, outcomes FROM outcome_tally",
        )
        .fetch_all(&mut snapshot)
        .await?;
        let total: Option<i64> = query_scalar("SELECT outcomes FROM outcome_total WHERE id = 1")
            .fetch_optional(&mut snapshot)
            .await?;
        snapshot.rollback().await?;
        self.compare(tallies, total)?;
        Ok(false)
    }

    /// Counts some outcomes. Says whether there may be more.
    async fn count(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let rows: Vec<OutcomeRow> = query_as(COUNTED)
            .bind(self.counted)
            .bind(PAGE)
            .fetch_all(conn)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(false);
        };
        self.counted = last.number;
        // Somebody may add outcomes all the time: those of less than a page are the last ones.
        let more = i64::try_from(rows.len()) == Ok(PAGE);
        for row in rows {
            let month = Month::of(Timestamp::from_micros(row.request_time))
                .map_err(|_| StoreError::inconsistent(OUTCOMES, "a time is in no month"))?;
            let kind = Kind {
                month: month.to_string(),
                party_id: row.party_id,
                variant: row.variant,
                origin: row.origin,
                result: row.result,
            };
            *self.tally.entry(kind).or_default() += 1;
        }
        Ok(more)
    }

    fn compare(&mut self, tallies: Vec<TallyRow>, total: Option<i64>) -> Result<(), StoreError> {
        let folded = &mut self.folded;
        let counted: i64 = self.tally.values().sum();
        folded.up_to = count(OUTCOMES, counted)?;
        let outcomes = Unlike::Column("outcomes");
        for TallyRow {
            kind,
            outcomes: told,
        } in tallies
        {
            match self.tally.remove(&kind) {
                Some(counted) if counted == told => folded.fit += 1,
                Some(_) => folded.differs(TALLY, kind.to_string(), 0, outcomes),
                None => folded.differs(TALLY, kind.to_string(), 0, Unlike::Surplus),
            }
        }
        for kind in self.tally.keys() {
            folded.differs(TALLY, kind.to_string(), 0, Unlike::Missing);
        }
        match total {
            Some(total) if total == counted => folded.fit += 1,
            Some(_) => folded.differs(TOTAL, "all", 0, outcomes),
            None => folded.differs(TOTAL, "all", 0, Unlike::Missing),
        }
        Ok(())
    }
}

impl Intervals {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let (device, start, source) = &self.after;
        let rows: Vec<IntervalRow> = query_as(HELD)
            .bind(device)
            .bind(*start)
            .bind(source)
            .bind(PAGE)
            .fetch_all(conn)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(false);
        };
        self.after = (
            last.device_id.clone(),
            last.start_time,
            last.source_id.clone(),
        );
        for row in rows {
            let unlike = if row.overlaps || row.end_time < row.start_time {
                Unlike::Column("end_time")
            } else if row.covered {
                self.folded.fit += 1;
                continue;
            } else {
                Unlike::Surplus
            };
            self.folded.differs(INTERVALS, row.device_id, 0, unlike);
        }
        Ok(true)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            month,
            party_id,
            variant,
            origin,
            result,
        } = self;
        write!(f, "{month} {party_id} {variant} {origin} {result}")
    }
}
