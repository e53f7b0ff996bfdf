//! Who forgets the answers that have expired, and how many at a time?
//!
//! The write transactions that are made anyway, a few answers each, so that no caller waits for a
//! great deletion; and the writer by itself while nobody writes. An answer that has expired is
//! given all the same until it is forgotten: the promise is a shortest time and no longest one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_types::Timestamp;

use crate::StoreError;
use crate::life::Age;
use crate::sql::{Conn, query, query_as, query_scalar};

/// The fewest answers that one transaction forgets if so many have expired.
const STEP: usize = 256;
/// A transaction looks for such answers this long after the last one that found no more.
const PAUSE: Duration = Duration::from_secs(60);

/// What a process knows of the age of its database. Shared by its transactions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeper(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    age: Option<Age>,
    /// The date of the last answer in a database that was made before ages were counted.
    last: Option<Timestamp>,
    /// The age when the database was last asked for answers to forget.
    asked: Option<Timestamp>,
    /// Whether there are more of them.
    more: bool,
    /// How many were forgotten since there were none.
    forgotten: u64,
}

/// What one transaction does about kept answers.
#[derive(Debug)]
pub(crate) struct Keeping {
    keeper: Keeper,
    age: Age,
    due: bool,
}

/// What a transaction did that is not committed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forgotten {
    answers: u64,
    more: bool,
    /// How old the database is by whichever process has counted most.
    age: Timestamp,
}

impl Keeper {
    /// What the database says of its age. One that was made before ages were counted is as old as the
    /// last answer in it, or as the clock shows if that is less: either may have been ahead.
    pub(crate) async fn load(conn: &mut Conn) -> Result<Self, StoreError> {
        let stored: Option<(i64, i64)> =
            query_as("SELECT age, seen FROM database_age WHERE id = 1")
                .fetch_optional(&mut *conn)
                .await?;
        let age = stored.map(|(age, seen)| Age {
            now: Timestamp::from_micros(age),
            seen: Timestamp::from_micros(seen),
        });
        let last: Option<i64> = match age {
            Some(_) => None,
            None => {
                query_scalar("SELECT max(recorded_time) FROM idempotency")
                    .fetch_one(&mut *conn)
                    .await?
            }
        };
        let state = State {
            age,
            last: last.map(Timestamp::from_micros),
            ..State::default()
        };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// For a transaction that begins when the clock shows `clock`.
    pub(crate) fn keeping(&self, clock: Timestamp) -> Keeping {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || Age::beginning(state.last.map_or(clock, |last| last.min(clock)));
        let age = state.age.unwrap_or_else(first).at(clock);
        state.age = Some(age);
        let rested = |asked| age.now.since(asked) >= PAUSE;
        Keeping {
            keeper: self.clone(),
            age,
            due: state.more || state.asked.is_none_or(rested),
        }
    }

    /// Whether there are answers to forget that the last transaction left.
    pub(crate) fn has_more(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.more
    }
}

impl Keeping {
    /// What the answers of this transaction are dated.
    pub(crate) const fn date(&self) -> Timestamp {
        self.age.now
    }

    /// Forgets some answers if it is time to, always more than the `kept` ones that the transaction
    /// adds, and notes the database's age.
    pub(crate) async fn tend(
        &self,
        conn: &mut Conn,
        kept: usize,
    ) -> Result<Option<Forgotten>, StoreError> {
        if !self.due {
            return Ok(None);
        }
        let most = STEP.max(kept.saturating_mul(2));
        let answers = query(
            "DELETE FROM idempotency WHERE (party, rpc, request_id) IN \
             (SELECT party, rpc, request_id FROM idempotency WHERE recorded_time < $1 \
             ORDER BY recorded_time LIMIT $2)",
        )
        .bind(self.age.horizon().micros())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .execute(&mut *conn)
        .await?;
        let age: i64 = query_scalar(
            "INSERT INTO database_age (id, age, seen) VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE SET \
             seen = CASE WHEN excluded.age < database_age.age THEN database_age.seen ELSE excluded.seen END, \
             age = CASE WHEN excluded.age < database_age.age THEN database_age.age ELSE excluded.age END \
             RETURNING age",
        )
        .bind(self.age.now.micros())
        .bind(self.age.seen.micros())
        .fetch_one(conn)
        .await?;
        Ok(Some(Forgotten {
            answers,
            more: usize::try_from(answers).is_ok_and(|answers| answers >= most),
            age: Timestamp::from_micros(age),
        }))
    }

    /// The transaction was committed.
    pub(crate) fn committed(&self, forgotten: Option<Forgotten>) {
        let Some(Forgotten { answers, more, age }) = forgotten else {
            return;
        };
        let mut state = self.keeper.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = Some(self.age.now);
        if let Some(own) = &mut state.age {
            own.now = own.now.max(age);
        }
        state.more = more;
        state.forgotten += answers;
        if !more && state.forgotten > 0 {
            let answers = std::mem::take(&mut state.forgotten);
            tracing::info!(answers, "kept answers were forgotten after they expired");
        }
    }
}
