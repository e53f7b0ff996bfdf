//! How are many rows written in one statement, and how do sequences fit the database's numbers?
//!
//! A statement through sqlx on SQLite costs some 65 µs whatever it does: a thousand rows in one
//! statement cost little more than a single one.

use mesh_types::Sequence;

use crate::StoreError;
use crate::sql::{Columns, Conn, MAX_BINDS, QueryBuilder};

/// `to_sequence` of a row that holds still.
///
/// A state row holds at position P if `from_sequence <= P AND P < to_sequence`.
pub const CURRENT: i64 = i64::MAX;

/// The sequence as databases hold it; one beyond their range becomes the greatest they hold.
#[must_use]
pub fn sequence_to_db(sequence: Sequence) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// A sequence read from `table`, which holds no negative one.
pub fn sequence_from_db(table: &'static str, sequence: i64) -> Result<Sequence, StoreError> {
    u64::try_from(sequence).map_err(|_| StoreError::inconsistent(table, "a sequence is negative"))
}

/// Inserts `rows` with as few statements as the engine allows.
///
/// `insert` is the statement up to its `VALUES` (`INSERT INTO flag (device, state)`), `after` what
/// follows them (`ON CONFLICT …`, or nothing), `columns` how many values `bind` pushes for a row.
/// Returns how many rows the database says it wrote.
///
/// ```
/// # use mesh_store::{insert_rows, StoreError, sql::Conn};
/// # async fn f(conn: &mut Conn, rows: &[(String, i64)]) -> Result<(), StoreError> {
/// insert_rows(conn, "INSERT INTO flag (device, state)", rows, 2, "", |mut row, (device, state)| {
///     row.push_bind(device.as_str()).push_bind(*state);
/// }).await?;
/// # Ok(()) }
/// ```
pub async fn insert_rows<T>(
    conn: &mut Conn,
    insert: &'static str,
    rows: &[T],
    columns: usize,
    after: &'static str,
    bind: impl Fn(Columns<'_>, &T),
) -> Result<u64, StoreError> {
    let mut written = 0;
    for statement in insertions(insert, rows, columns, after, bind) {
        written += statement.build().execute(&mut *conn).await?;
    }
    Ok(written)
}

/// The statements that [`insert_rows`] runs.
pub(crate) fn insertions<T>(
    insert: &'static str,
    rows: &[T],
    columns: usize,
    after: &'static str,
    bind: impl Fn(Columns<'_>, &T),
) -> impl Iterator<Item = QueryBuilder> {
    let chunks = rows.chunks((MAX_BINDS / columns.max(1)).max(1));
    chunks.map(move |chunk| {
        let mut query = QueryBuilder::new(insert);
        query.push(" ").push_values(chunk, &bind);
        query.push(" ").push(after);
        query
    })
}
