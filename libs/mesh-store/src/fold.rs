//! Do the rows of a service say what its log says?
//!
//! The log is the record, and the rows are what the service made of it: a row that is lost, added or
//! changed behind its back makes it answer wrongly, and no hash shows that. A service folds its log
//! anew, with its own rules and page by page, and compares. Here stands what that has in common.

use std::fmt;
use std::time::Duration;

use mesh_types::Sequence;

use crate::sqlite::Conn;
use crate::{Store, StoreError};

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
    /// The event that the row holds from.
    pub sequence: Sequence,
    /// What is the matter with it.
    pub unlike: Unlike,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, .. } = self;
        let sequence = self.sequence;
        match self.unlike {
            Unlike::Missing => write!(
                f,
                "{table}: the row of {key} from event {sequence} is missing"
            ),
            Unlike::Surplus => write!(f, "{table}: no event made the row of {key} from {sequence}"),
            Unlike::Column(column) => write!(
                f,
                "{table}: {column} of {key} from event {sequence} is not as the log has it"
            ),
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
