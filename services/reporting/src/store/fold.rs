//! Are the rows what the service's own outcomes and flags make of each other?
//!
//! Reporting has no log of its own, so rules are held against its rows. The counts of a part are what those
//! of its hours come to, and its exceptions what those of its Devices do; and the intervals of one flag do
//! not overlap, and those of a Device that the flag of a meter covers lie within one of that meter's. The flags
//! that are counted are those whose intervals are open, and what came and went makes them up. An edition has the
//! hash that its content has. A row of a flag, a meter or a kind that is changed to another possible value is not
//! found here, unless it is in an edition.

use std::collections::BTreeMap;

use mesh_store::StoreError;
use mesh_store::fold::{Folded, Folding, Unlike};
use mesh_store::sql::{Conn, query_as, query_scalar};

use super::count;
use crate::month::Month;
use crate::period::{Hour, Part};

mod editions;
mod flags;

use editions::Editions;
pub(super) use flags::Flags;

const HOURS: &str = "outcome_hour";
const PARTS: &str = "outcome_part";
const KINDS: &str = "outcome_kind";
const DEVICES: &str = "excepted_device";
const TOTAL: &str = "outcome_total";
const INTERVALS: &str = "flag_interval";

/// How many rows of intervals a page holds.
const PAGE: i64 = 2_000;

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
    /// The counts with each other.
    Counts(Counts),
    /// The intervals with each other.
    Intervals(Intervals),
    /// The editions with the counts that they are made of.
    Editions(Editions),
    /// The flags that are counted with their intervals.
    Flags(Flags),
}

/// Looks at the counts, part by part.
#[derive(Debug)]
pub struct Counts {
    folded: Folded,
    /// The parts that are still to be looked at, the next one last; `None` before the first page.
    parts: Option<Vec<Part>>,
}

/// Looks at intervals.
#[derive(Debug)]
pub struct Intervals {
    folded: Folded,
    /// The key of the last one that was looked at.
    after: (String, i64, String),
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

/// How many outcomes of a kind there are, and how many of them are excepted for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    outcomes: i64,
    excepted: i64,
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
            Self::Counts(Counts {
                folded: folded("outcomes"),
                parts: None,
            }),
            Self::Intervals(Intervals {
                folded: folded("flags"),
                after: (String::new(), i64::MIN, String::new()),
            }),
            Self::Editions(Editions::new(folded("editions"))),
            Self::Flags(Flags::new(folded("flag-counts"))),
        ]
    }
}

impl Folding for ReportFolding {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        match self {
            Self::Counts(counts) => counts.page(conn).await,
            Self::Intervals(intervals) => intervals.page(conn).await,
            Self::Editions(editions) => editions.page(conn).await,
            Self::Flags(flags) => flags.page(conn).await,
        }
    }

    fn folded(self) -> Folded {
        match self {
            Self::Counts(counts) => counts.folded,
            Self::Intervals(intervals) => intervals.folded,
            Self::Editions(editions) => editions.into_folded(),
            Self::Flags(flags) => flags.into_folded(),
        }
    }
}

impl Counts {
    /// Others come meanwhile: what is compared is read in one transaction.
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let mut snapshot = conn.snapshot().await?;
        let more = match self.parts.as_mut().map(Vec::pop) {
            None => {
                self.total(&mut snapshot).await?;
                self.parts = Some(all_parts(&mut snapshot).await?);
                true
            }
            Some(Some(part)) => {
                self.part(&mut snapshot, part).await?;
                true
            }
            Some(None) => false,
        };
        snapshot.rollback().await?;
        Ok(more)
    }

    async fn total(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let counted: i64 =
            query_scalar("SELECT CAST(COALESCE(SUM(outcomes), 0) AS BIGINT) FROM outcome_part")
                .fetch_one(&mut *conn)
                .await?;
        let total: Option<i64> = query_scalar("SELECT outcomes FROM outcome_total WHERE id = 1")
            .fetch_optional(conn)
            .await?;
        self.folded.up_to = count(PARTS, counted)?;
        match total {
            Some(total) if total == counted => self.folded.fit += 1,
            Some(_) => self
                .folded
                .differs(TOTAL, "all", 0, Unlike::Column("outcomes")),
            None => self.folded.differs(TOTAL, "all", 0, Unlike::Missing),
        }
        Ok(())
    }

    async fn part(&mut self, conn: &mut Conn, part: Part) -> Result<(), StoreError> {
        let mut hours = of_hours(conn, part).await?;
        let mut devices = of_devices(conn, part).await?;
        for (kind, known, counted) in of_part(conn, part).await? {
            let found = [
                of_hours_unlike(hours.remove(&kind), counted),
                of_devices_unlike(devices.remove(&kind), counted.excepted),
                (!known).then_some((KINDS, Unlike::Missing)),
            ];
            let mut fits = true;
            for (table, unlike) in found.into_iter().flatten() {
                fits = false;
                self.folded
                    .differs(table, format!("{part} {kind}"), 0, unlike);
            }
            self.folded.fit += u64::from(fits);
        }
        for kind in hours.keys() {
            self.folded
                .differs(PARTS, format!("{part} {kind}"), 0, Unlike::Missing);
        }
        for kind in devices.keys() {
            self.folded
                .differs(DEVICES, format!("{part} {kind}"), 0, Unlike::Surplus);
        }
        Ok(())
    }
}

/// How the counts of a part differ from those of its hours.
fn of_hours_unlike(of_hours: Option<Counted>, of_part: Counted) -> Option<(&'static str, Unlike)> {
    let unlike = match of_hours {
        None => Unlike::Surplus,
        Some(of_hours) if of_hours.outcomes != of_part.outcomes => Unlike::Column("outcomes"),
        Some(of_hours) if of_hours.excepted != of_part.excepted => Unlike::Column("excepted"),
        Some(_) => return None,
    };
    Some((PARTS, unlike))
}

/// How the exceptions of the Devices differ from those of their part.
fn of_devices_unlike(of_devices: Option<i64>, of_part: i64) -> Option<(&'static str, Unlike)> {
    let unlike = match of_devices.unwrap_or(0) {
        of_devices if of_devices == of_part => return None,
        0 => Unlike::Missing,
        _ => Unlike::Column("outcomes"),
    };
    Some((DEVICES, unlike))
}

/// The parts from the first hour to the last, and those that have counts of their own.
async fn all_parts(conn: &mut Conn) -> Result<Vec<Part>, StoreError> {
    let malformed = || StoreError::inconsistent(PARTS, "a part is malformed");
    let texts: Vec<String> = query_scalar(
        "SELECT DISTINCT part FROM outcome_part UNION SELECT DISTINCT part FROM excepted_device",
    )
    .fetch_all(&mut *conn)
    .await?;
    let parsed: Result<Vec<Part>, _> = texts.iter().map(|text| text.parse()).collect();
    let mut parts = parsed.map_err(|_| malformed())?;
    let bounds: Vec<(i64, i64)> =
        query_as("SELECT MIN(hour), MAX(hour) FROM outcome_hour HAVING COUNT(*) > 0")
            .fetch_all(conn)
            .await?;
    for (first, last) in bounds {
        let month = |hour| Month::of(Hour::numbered(hour).start());
        let outside = |_| StoreError::inconsistent(HOURS, "an hour is in no month");
        let (mut month, last) = (
            month(first).map_err(outside)?,
            month(last).map_err(outside)?,
        );
        loop {
            parts.extend(Part::both(month));
            if month >= last {
                break;
            }
            month = Month::of(month.interval().end()).map_err(outside)?;
        }
    }
    parts.sort_unstable();
    parts.dedup();
    parts.reverse();
    Ok(parts)
}

async fn of_hours(conn: &mut Conn, part: Part) -> Result<BTreeMap<i64, Counted>, StoreError> {
    let hours = part.hours();
    let rows: Vec<(i64, i64, i64)> = query_as(
        "SELECT kind, CAST(SUM(outcomes) AS BIGINT), CAST(SUM(excepted) AS BIGINT) \
         FROM outcome_hour WHERE hour >= $1 AND hour < $2 GROUP BY kind",
    )
    .bind(hours.start.number())
    .bind(hours.end.number())
    .fetch_all(conn)
    .await?;
    let counted = |(kind, outcomes, excepted)| (kind, Counted { outcomes, excepted });
    Ok(rows.into_iter().map(counted).collect())
}

/// Each kind, whether it is known, and its counts.
async fn of_part(conn: &mut Conn, part: Part) -> Result<Vec<(i64, bool, Counted)>, StoreError> {
    let rows: Vec<(i64, bool, i64, i64)> = query_as(
        "SELECT p.kind, k.kind IS NOT NULL, p.outcomes, p.excepted FROM (\
            SELECT kind, CAST(SUM(outcomes) AS BIGINT) AS outcomes, \
                CAST(SUM(excepted) AS BIGINT) AS excepted \
            FROM outcome_part WHERE part = $1 GROUP BY kind) AS p \
         LEFT JOIN outcome_kind k ON k.kind = p.kind",
    )
    .bind(part.to_string())
    .fetch_all(conn)
    .await?;
    let counted = |(kind, known, outcomes, excepted)| (kind, known, Counted { outcomes, excepted });
    Ok(rows.into_iter().map(counted).collect())
}

async fn of_devices(conn: &mut Conn, part: Part) -> Result<BTreeMap<i64, i64>, StoreError> {
    let rows: Vec<(i64, i64)> = query_as(
        "SELECT kind, CAST(SUM(outcomes) AS BIGINT) FROM excepted_device WHERE part = $1 GROUP BY kind",
    )
    .bind(part.to_string())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().collect())
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
