//! Do the rows of a service say what its log says?
//!
//! The log is the record, and the rows are what the service made of it: a row that is lost, added or
//! changed behind its back makes it answer wrongly, and no hash shows that. A service folds its log
//! anew, with its own rules and page by page, and compares. Here stands what that has in common.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use mesh_types::{LogName, Sequence};

use crate::log::{self, EVENTS, Head, PageLimit};
use crate::sql::{Conn, QueryBuilder};
use crate::{Store, StoreError, sequence_from_db, sequence_to_db};

/// How many rows, or events, a page holds.
pub const PAGE: u32 = 500;

/// So many differences are told one by one; what damaged many rows is known by the first.
const MOST: usize = 20;

/// How a row differs from what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlike {
    /// There is none.
    Missing,
    /// There is one that no event has made.
    Surplus,
    /// It has another value in this column.
    Column(&'static str),
}

/// One row that is not as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// Whose row it is, such as a Device. Never a value of the row.
    pub key: String,
    /// The event that the row holds from; zero if none made it.
    pub sequence: Sequence,
    /// What is the matter with it.
    pub unlike: Unlike,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, .. } = self;
        let from = match self.sequence {
            0 => String::new(),
            sequence => format!(" from event {sequence}"),
        };
        match self.unlike {
            Unlike::Missing => write!(f, "{table}: the row of {key}{from} is missing"),
            Unlike::Surplus => write!(f, "{table}: nothing made the row of {key}{from}"),
            Unlike::Column(column) => {
                write!(f, "{table}: {column} of {key}{from} is not as it was made")
            }
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// The log.
    pub log: String,
    /// Its event up to which everything was compared.
    pub up_to: Sequence,
    /// How many rows were as the log has them.
    pub fit: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
}

impl Folded {
    /// Nothing so far of a log whose end is `head`.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            log: head.position.log.to_string(),
            up_to: head.position.sequence,
            ..Self::default()
        }
    }

    /// Notes a difference.
    pub fn differs(
        &mut self,
        table: &'static str,
        key: impl Into<String>,
        sequence: Sequence,
        unlike: Unlike,
    ) {
        if self.differences.len() < MOST {
            self.differences.push(Difference {
                table,
                key: key.into(),
                sequence,
                unlike,
            });
        } else {
            self.more += 1;
        }
    }

    /// Whether every row is as the log has it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The events of a log, page by page and up to one of them. Each is asked for the row that it made.
#[derive(Debug)]
pub struct Walk {
    log: LogName,
    at: Sequence,
    up_to: Sequence,
}

impl Walk {
    /// Up to `head`.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        let position = head.position.clone();
        Self {
            log: position.log,
            at: 0,
            up_to: position.sequence,
        }
    }

    /// The next page, each event as `read` reads it. One that cannot be read is
    /// [`StoreError::Inconsistent`].
    pub async fn page<T>(
        &mut self,
        conn: &mut Conn,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<(Sequence, T)>, StoreError> {
        let limit = PageLimit {
            events: PAGE,
            ..PageLimit::default()
        };
        let events = log::read(conn, &self.log, self.at, limit).await?;
        let events = events
            .iter()
            .take_while(|event| event.sequence <= self.up_to);
        let events: Option<Vec<_>> = events
            .map(|event| Some((event.sequence, read(&event.event)?)))
            .collect();
        let malformed = || StoreError::inconsistent(EVENTS, "an event is not well formed");
        let events = events.ok_or_else(malformed)?;
        // Nothing follows the end of a log that is shorter than it was.
        self.at = events.last().map_or(self.up_to, |(sequence, _)| *sequence);
        Ok(events)
    }

    /// Whether there is a further page.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.at < self.up_to
    }
}

/// Which events stand in column `sequence` of `table`, each in a row with its key: of those that `asked`
/// names by key and event.
pub async fn found<const N: usize>(
    conn: &mut Conn,
    table: &'static str,
    key: [&'static str; N],
    sequence: &'static str,
    asked: &[([String; N], Sequence)],
) -> Result<HashSet<Sequence>, StoreError> {
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let mut query = QueryBuilder::new("SELECT ");
    query.push(sequence).push(" FROM ").push(table);
    query.push(" WHERE (").push(key.join(", ")).push(", ");
    query.push(sequence).push(") IN (");
    query.push_values(asked, |mut row, (key, at)| {
        for part in key {
            row.push_bind(part);
        }
        row.push_bind(sequence_to_db(*at));
    });
    query.push(")");
    let found: Vec<i64> = query.build_query_scalar().fetch_all(conn).await?;
    let found = found.into_iter().map(|at| sequence_from_db(table, at));
    found.collect()
}

/// A comparison under way: it is in hand page by page, so that nobody waits for it.
pub trait Folding: Send {
    /// Compares one page. Says whether there are more.
    fn page(&mut self, conn: &mut Conn) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What came of it.
    fn folded(self) -> Folded;
}

/// Compares to the end, with a pause after each page and no connection in hand across pages. What does
/// not fit is told in the service's log, and the database takes no more writes.
pub async fn compare(
    store: &Store,
    mut folding: impl Folding,
    pause: Duration,
) -> Result<Folded, StoreError> {
    loop {
        let mut conn = store.readers().acquire().await?;
        let more = folding.page(&mut conn).await.inspect_err(|error| {
            // An event or a row that cannot be read fits nothing.
            if let StoreError::Inconsistent { .. } = error {
                store.found_damaged();
            }
        })?;
        drop(conn);
        if !more {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    let folded = folding.folded();
    for difference in &folded.differences {
        tracing::error!(
            log = folded.log,
            "the state is not what the log says: {difference}"
        );
    }
    if !folded.is_sound() {
        store.found_damaged();
    }
    Ok(folded)
}

/// Compares to the end what nobody writes to meanwhile, such as a copy.
pub async fn compare_copy(
    conn: &mut Conn,
    foldings: Vec<impl Folding>,
) -> Result<Vec<Folded>, StoreError> {
    let mut all = Vec::with_capacity(foldings.len());
    for mut folding in foldings {
        while folding.page(conn).await? {}
        all.push(folding.folded());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, Database, Migrator, Trouble};

    /// A log with an event that is none.
    struct Unreadable;

    impl Folding for Unreadable {
        async fn page(&mut self, _: &mut Conn) -> Result<bool, StoreError> {
            Err(StoreError::inconsistent(
                "log_event",
                "an event is not well formed",
            ))
        }

        fn folded(self) -> Folded {
            Folded::default()
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_stops_the_writes() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let migrations = Migrator::with_migrations(vec![]);
        let store = Store::open(&Database::existing_or_new(&url), &migrations)
            .await
            .unwrap();
        let compared = compare(&store, Unreadable, Duration::ZERO).await;
        assert!(compared.is_err(), "{compared:?}");
        let condition = store.condition().borrow().clone();
        assert_eq!(condition, Condition::Trouble(Trouble::Damaged));
    }
}
