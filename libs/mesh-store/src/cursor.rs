//! How far has a follower come in the log that it follows?
//!
//! The cursor moves in the transaction of the effects, by compare-and-set, so that several
//! replicas may follow the same log: one of them applies an event, the others find it applied.

use mesh_types::Position;
use std::collections::BTreeMap;

use mesh_types::chain::Hash;

use crate::log::{Head, epoch_from_db, hash_from_db};
use crate::sql::{self, Conn, QueryBuilder, Question, ask, query, query_as};
use crate::{StoreError, sequence_from_db, sequence_to_db};

const TABLE: &str = "cursor";

/// The last event whose effects a follower has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Where that event stands; sequence zero before the first.
    pub position: Position,
    /// The log's hash after it, with which the next event must chain.
    pub hash: Hash,
}

impl From<&Head> for Cursor {
    fn from(head: &Head) -> Self {
        Self {
            position: head.position.clone(),
            hash: head.hash,
        }
    }
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the effects of a stale step must not be written"]
pub enum Advance {
    /// The cursor stands at the new place when the transaction commits.
    Moved,
    /// It does not stand where the step began: another replica moved it. Write no effects.
    Stale,
}

/// Where `follower` stands; `None` if it never started.
pub async fn get(conn: &mut Conn, follower: &str) -> Result<Option<Cursor>, StoreError> {
    ask(conn, question(follower)).await
}

/// The same as a question that can be asked together with others.
pub fn question(follower: &str) -> Question<Option<Cursor>> {
    let mut query =
        QueryBuilder::new("SELECT log, epoch, sequence, hash FROM cursor WHERE follower = ");
    query.push_bind(follower);
    Question::new([query], |rows| {
        let row = rows.first().map(sql::Row::read).transpose()?;
        row.map(|row| from_db(TABLE, row)).transpose()
    })
}

/// Where all followers stand.
pub(crate) async fn all(conn: &mut Conn) -> Result<BTreeMap<String, Cursor>, StoreError> {
    let rows: Vec<(String, String, i64, i64, Vec<u8>)> =
        query_as("SELECT follower, log, epoch, sequence, hash FROM cursor")
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|(follower, log, epoch, sequence, hash)| {
            Ok((follower, from_db(TABLE, (log, epoch, sequence, hash))?))
        })
        .collect()
}

type Row = (String, i64, i64, Vec<u8>);

/// The place that a row of `table` says: log, epoch, sequence and hash.
pub(crate) fn from_db(
    table: &'static str,
    (log, epoch, sequence, hash): Row,
) -> Result<Cursor, StoreError> {
    let log = log
        .parse()
        .map_err(|_| StoreError::inconsistent(table, "a log's name is malformed"))?;
    Ok(Cursor {
        position: Position {
            log,
            epoch: epoch_from_db(table, epoch)?,
            sequence: sequence_from_db(table, sequence)?,
        },
        hash: hash_from_db(table, hash)?,
    })
}

/// Moves `follower` from where the caller believes it stands to `to`.
///
/// Call it before the effects are written, in the same transaction: [`Advance::Stale`] says that
/// they must not be. A resync after a snapshot may change the epoch and move to any place.
pub async fn advance(
    conn: &mut Conn,
    follower: &str,
    from: Option<&Cursor>,
    to: &Cursor,
) -> Result<Advance, StoreError> {
    let text = if from.is_some() {
        "UPDATE cursor SET log = $2, epoch = $3, sequence = $4, hash = $5 \
         WHERE follower = $1 AND log = $6 AND epoch = $7 AND sequence = $8"
    } else {
        "INSERT INTO cursor (follower, log, epoch, sequence, hash) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (follower) DO NOTHING"
    };
    let mut query = query(text)
        .bind(follower)
        .bind(to.position.log.as_str())
        .bind(sequence_to_db(to.position.epoch.get()))
        .bind(sequence_to_db(to.position.sequence))
        .bind(to.hash.as_slice());
    if let Some(from) = from {
        query = query
            .bind(from.position.log.as_str())
            .bind(sequence_to_db(from.position.epoch.get()))
            .bind(sequence_to_db(from.position.sequence));
    }
    match query.execute(conn).await? {
        0 => Ok(Advance::Stale),
        _ => Ok(Advance::Moved),
    }
}
