//! Are the flags that are counted those whose intervals are open?

use std::collections::BTreeMap;

use mesh_store::StoreError;
use mesh_store::fold::{Folded, Unlike};
use mesh_store::sql::{Conn, query_as, query_scalar};
use mesh_types::Timestamp;

use super::INTERVALS;
use crate::movement::Movement;
use crate::period::Part;
use crate::store::flag_counts::{self, MOVEMENTS, STANDING};

/// How many flags a page holds.
const PAGE: i64 = 2_000;

/// Each with whether its interval is open.
const HELD: &str = "SELECT device_id, EXISTS (SELECT 1 FROM flag_interval f \
        WHERE f.device_id = s.device_id AND f.source_id = s.device_id AND f.end_time = $2) \
     FROM flag_standing s WHERE device_id > $1 ORDER BY device_id LIMIT $3";

/// Supplier, CSP, whether gained.
type Key = (String, String, bool);

/// Looks at the flags that are counted: those that are set with their intervals, and what came and went with what is
/// there.
#[derive(Debug)]
pub struct Flags {
    folded: Folded,
    next: Next,
}

/// What is still to be looked at.
#[derive(Debug)]
enum Next {
    /// The sums of all.
    Sums,
    /// Parts, the next one last.
    Parts(Vec<String>),
    /// Flags behind this Device.
    Standing(String),
}

impl Flags {
    pub(super) const fn new(folded: Folded) -> Self {
        Self {
            folded,
            next: Next::Sums,
        }
    }

    pub(super) fn into_folded(self) -> Folded {
        self.folded
    }

    /// Others come meanwhile: what is compared is read in one transaction. Flags that were followed before they were
    /// counted are counted later, and then compared.
    pub(super) async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let mut snapshot = conn.snapshot().await?;
        let more =
            flag_counts::is_complete(&mut snapshot).await? && self.compare(&mut snapshot).await?;
        snapshot.rollback().await?;
        Ok(more)
    }

    async fn compare(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        self.next = match std::mem::replace(&mut self.next, Next::Sums) {
            Next::Sums => {
                self.sums(conn).await?;
                Next::Parts(all_parts(conn).await?)
            }
            Next::Parts(mut parts) => match parts.pop() {
                Some(part) => {
                    self.part(conn, &part).await?;
                    Next::Parts(parts)
                }
                None => Next::Standing(String::new()),
            },
            Next::Standing(after) => match self.standing(conn, &after).await? {
                Some(last) => Next::Standing(last),
                None => return Ok(false),
            },
        };
        Ok(true)
    }

    /// What came and went of each holder is what it has; and there are as many flags as open intervals.
    async fn sums(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let standing: Vec<(String, String, bool, i64)> = query_as(
            "SELECT party_id, csp_id, gained, COUNT(*) FROM flag_standing \
             GROUP BY party_id, csp_id, gained",
        )
        .fetch_all(&mut *conn)
        .await?;
        let moved: Vec<(String, String, bool, i64, i64)> = query_as(
            "SELECT party_id, csp_id, gained, movement, CAST(SUM(flags) AS BIGINT) \
             FROM flag_movement GROUP BY party_id, csp_id, gained, movement",
        )
        .fetch_all(&mut *conn)
        .await?;
        let open: i64 = query_scalar(
            "SELECT COUNT(*) FROM flag_interval WHERE end_time = $1 AND source_id = device_id",
        )
        .bind(Timestamp::FOREVER.micros())
        .fetch_one(conn)
        .await?;
        let flags: i64 = standing.iter().map(|(.., flags)| flags).sum();
        self.judge(STANDING, "all", (flags != open).then_some("device_id"));
        let mut sums: BTreeMap<Key, i64> = BTreeMap::new();
        for (party, csp, gained, movement, flags) in moved {
            let adds = Movement::numbered(movement).map_or(0, Movement::adds);
            *sums.entry((party, csp, gained)).or_default() += adds * flags;
        }
        for (party, csp, gained, flags) in standing {
            *sums.entry((party, csp, gained)).or_default() -= flags;
        }
        for ((party, csp, _), difference) in sums {
            let key = format!("{party} {csp}");
            self.judge(MOVEMENTS, &key, (difference != 0).then_some("flags"));
        }
        Ok(())
    }

    /// As many more flags were set in a part than ended as more intervals began than ended.
    async fn part(&mut self, conn: &mut Conn, text: &str) -> Result<(), StoreError> {
        let malformed = |_| StoreError::inconsistent(MOVEMENTS, "a part is malformed");
        let hours = text.parse::<Part>().map_err(malformed)?.hours();
        let moved: Vec<(i64, i64)> = query_as(
            "SELECT movement, CAST(SUM(flags) AS BIGINT) FROM flag_movement WHERE part = $1 \
             GROUP BY movement",
        )
        .bind(text)
        .fetch_all(&mut *conn)
        .await?;
        let intervals: i64 = query_scalar(
            "SELECT (SELECT COUNT(*) FROM flag_interval \
                WHERE device_id = source_id AND start_time >= $1 AND start_time < $2) \
             - (SELECT COUNT(*) FROM flag_interval \
                WHERE device_id = source_id AND end_time >= $1 AND end_time < $2)",
        )
        .bind(hours.start.start().micros())
        .bind(hours.end.start().micros())
        .fetch_one(conn)
        .await?;
        let moved = moved.into_iter().filter_map(|(movement, flags)| {
            let movement = Movement::numbered(movement)?;
            movement
                .changes_the_flag()
                .then_some(movement.adds() * flags)
        });
        let differs = moved.sum::<i64>() != intervals;
        self.judge(MOVEMENTS, text, differs.then_some("flags"));
        Ok(())
    }

    /// Each flag that is set has an open interval. Gives the last one that was looked at.
    async fn standing(
        &mut self,
        conn: &mut Conn,
        after: &str,
    ) -> Result<Option<String>, StoreError> {
        let rows: Vec<(String, bool)> = query_as(HELD)
            .bind(after)
            .bind(Timestamp::FOREVER.micros())
            .bind(PAGE)
            .fetch_all(conn)
            .await?;
        for (device, held) in &rows {
            if *held {
                self.folded.fit += 1;
            } else {
                self.folded
                    .differs(INTERVALS, device.as_str(), 0, Unlike::Missing);
            }
        }
        Ok(rows.into_iter().next_back().map(|(device, _)| device))
    }

    fn judge(&mut self, table: &'static str, key: &str, wrong: Option<&'static str>) {
        match wrong {
            None => self.folded.fit += 1,
            Some(column) => self.folded.differs(table, key, 0, Unlike::Column(column)),
        }
    }
}

async fn all_parts(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    query_scalar("SELECT DISTINCT part FROM flag_movement ORDER BY part DESC")
        .fetch_all(conn)
        .await
}
